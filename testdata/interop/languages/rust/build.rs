//! Makes the code of the .proto files' messages and services. protox reads the
//! files, so that protoc need not be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["../../../../cmd/internal/kv/kv.proto", "../callback.proto", "../plugin.proto"];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    let read = protox::compile(files, ["../../../../cmd/internal/kv", ".."])?;
    Ok(tonic_prost_build::configure().compile_fds(read)?)
}
