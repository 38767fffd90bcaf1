//! What the plugin and the host in src/bin have in common.

pub mod broker;
pub mod connection;
pub mod goplugin;
pub mod security;
pub mod store;

/// What build.rs makes of the .proto files.
pub mod proto {
    pub mod kv {
        tonic::include_proto!("tenon.kv.v1");
    }
    pub mod languages {
        tonic::include_proto!("tenon.languages.v1");
    }
    pub mod plugin {
        tonic::include_proto!("plugin");
    }
}
