//! A host in Rust, for any plugin that serves the store.
//!
//!     host [--plaintext] [--curve P-256] [--multiplex] [--broker] PLUGIN [ARGUMENT...]
//!
//! It starts the plugin, uses it, stops it, and prints a line for each thing that
//! went as it should.

use std::error::Error;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use example::broker::{Broker, Mux};
use example::connection::{self, LIMIT};
use example::goplugin::{COOKIE, VERSION};
use example::proto::kv::kv_client::KvClient;
use example::proto::kv::kv_server::Kv;
use example::proto::kv::say_request::Level;
use example::proto::kv::watch_response::Kind;
use example::proto::kv::*;
use example::proto::languages::{CallBackRequest, callback_client::CallbackClient};
use example::proto::plugin::grpc_broker_client::GrpcBrokerClient;
use example::proto::plugin::grpc_controller_client::GrpcControllerClient;
use example::proto::plugin::grpc_stdio_client::GrpcStdioClient;
use example::proto::plugin::{Empty, StdioData};
use example::security::{self, Curve, Identity, Security};
use example::store::Store;

const SPOKEN: &str = "hello from inside the plugin";

/// How long the plugin may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A running plugin.
struct Plugin {
    process: Child, // is killed with it
    conn: Channel,
    broker: Arc<Broker>,
    log: mpsc::UnboundedReceiver<String>,
    printed: mpsc::UnboundedReceiver<StdioData>,
}

impl Plugin {
    async fn start(command: &[String], own: Option<Identity>, multiplex: bool) -> Result<Self> {
        let (program, arguments) = command.split_first().ok_or("which plugin?")?;
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.env(COOKIE.0, COOKIE.1).env("PLUGIN_PROTOCOL_VERSIONS", VERSION.to_string());
        command.env("PLUGIN_MIN_PORT", "10000").env("PLUGIN_MAX_PORT", "25000");
        if let Some(own) = &own {
            command.env("PLUGIN_CLIENT_CERT", own.pem());
        }
        if multiplex {
            command.env("PLUGIN_MULTIPLEX_GRPC", "true");
        }
        let mut process = command.spawn()?;
        let log = lines(process.stderr.take().expect("a pipe"));
        let mut stdout = lines(process.stdout.take().expect("a pipe")); // is read to its end

        let line = stdout.recv().await.unwrap_or_default();
        let fields: Vec<&str> = line.trim().split('|').collect();
        let ["1", version, network, address, "grpc", ref rest @ ..] = fields[..] else {
            return Err(format!("no handshake but {line:?}").into());
        };
        if version != VERSION.to_string() {
            return Err(format!("the plugin has version {version}").into());
        }
        let security = match (own, rest.first().filter(|certificate| !certificate.is_empty())) {
            (Some(own), Some(certificate)) => Security::mutual(own, security::decoded(certificate)?)?,
            (None, None) => Security::plaintext(),
            _ => return Err("only one side has a certificate".into()),
        };
        if multiplex && rest.get(1) != Some(&"true") {
            return Err("the plugin does not multiplex".into());
        }

        let mut io = connection::dial(network, address).await?;
        let mut mux = None;
        if multiplex {
            let streams = Mux::client(io);
            io = streams.open().await?;
            mux = Some(streams);
        }
        let conn = connection::channel(security.connect(io).await?).await?;
        let service = "plugin".to_string();
        HealthClient::new(conn.clone()).check(HealthCheckRequest { service }).await?;

        // Neither call need be answered before there is something to say.
        let broker = Arc::new(Broker::new(security, false, mux));
        let (listening, outgoing) = (broker.clone(), broker.outbox.read()?.filter_map(|info| info.ok()));
        let mut client = GrpcBrokerClient::new(conn.clone());
        tokio::spawn(async move {
            if let Ok(infos) = client.start_stream(outgoing).await {
                listening.listen(infos.into_inner()).await;
            }
        });
        let (send, printed) = mpsc::unbounded_channel();
        let mut client = GrpcStdioClient::new(conn.clone());
        tokio::spawn(async move {
            let Ok(chunks) = client.stream_stdio(()).await else { return }; // a plugin without this
            let mut chunks = chunks.into_inner();
            while let Ok(Some(chunk)) = chunks.message().await {
                let _ = send.send(chunk);
            }
        });
        Ok(Plugin { process, conn, broker, log, printed })
    }

    /// Asks the plugin to end, and makes sure that it does.
    async fn stop(mut self) -> Result<ExitStatus> {
        self.broker.outbox.close();
        match GrpcControllerClient::new(self.conn.clone()).shutdown(Empty {}).await {
            Err(status) if status.code() != Code::Unavailable => return Err(status.into()), // that is go-plugin's own answer
            _ => {}
        }
        drop(self.conn);
        match tokio::time::timeout(PATIENCE, self.process.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                self.process.kill().await?;
                Err("the plugin had to be killed".into())
            }
        }
    }
}

/// Returns the lines of a pipe, which is read to its end.
fn lines(pipe: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (send, lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut pipe = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = pipe.next_line().await {
            let _ = send.send(line);
        }
    });
    lines
}

async fn use_store(kv: &mut KvClient<Channel>) -> Result<()> {
    let put = PutRequest { key: "name".into(), value: b"tenon".into() };
    assert!(!kv.put(put).await?.into_inner().replaced);
    assert_eq!(kv.get(GetRequest { key: "name".into() }).await?.into_inner().value, b"tenon");
    let status = kv.get(GetRequest { key: "none".into() }).await.expect_err("a key that is not there");
    assert_eq!((status.code(), status.message()), (Code::NotFound, "there is no key \"none\""));
    let large = vec![7; 6 << 20];
    kv.put(PutRequest { key: "large".into(), value: large.clone() }).await?;
    assert!(kv.get(GetRequest { key: "large".into() }).await?.into_inner().value == large);
    println!("put and get: ok");
    Ok(())
}

async fn stream(kv: &mut KvClient<Channel>) -> Result<()> {
    let many = (0..3).map(|i| PutRequest { key: format!("many/{i}"), value: vec![i] });
    assert_eq!(kv.put_all(tokio_stream::iter(many)).await?.into_inner().stored, 3);
    let mut watch = kv.watch(WatchRequest { prefix: "many/".into() }).await?.into_inner();
    for i in 0..3 {
        let event = watch.message().await?.ok_or("the watch has ended")?;
        assert_eq!((event.kind(), event.key), (Kind::Present, format!("many/{i}")));
    }
    let keys = ["many/1", "none"].map(|key| GetRequest { key: key.into() });
    let answers = kv.get_all(tokio_stream::iter(keys)).await?.into_inner();
    let values: Vec<_> =
        answers.map(|answer| answer.map(|answer| answer.value)).collect::<std::result::Result<_, _>>().await?;
    assert_eq!(values, [Some(vec![1]), None]);
    assert!(kv.delete(DeleteRequest { key: "many/2".into() }).await?.into_inner().deleted);
    let event = watch.message().await?.ok_or("the watch has ended")?;
    assert_eq!((event.kind(), event.key.as_str()), (Kind::Deleted, "many/2"));
    println!("streams: ok");
    Ok(())
}

/// Uses the broker both ways.
async fn call_back(plugin: &Plugin, kv: &mut KvClient<Channel>) -> Result<()> {
    let mine = Store::new(|_| {});
    let host_store = plugin.broker.serve(Routes::new(mine.clone().server())).await?;
    let request = CallBackRequest { host_store, key: "from".into(), value: b"the plugin".into() };
    let plugin_store = CallbackClient::new(plugin.conn.clone()).call_back(request).await?.into_inner().plugin_store;
    let put = Kv::get(&mine, Request::new(GetRequest { key: "from".into() })).await?;
    assert_eq!(put.into_inner().value, b"the plugin");
    kv.put(PutRequest { key: "by".into(), value: b"the main connection".into() }).await?;
    let mut theirs = KvClient::new(plugin.broker.dial(plugin_store).await?);
    assert_eq!(theirs.get(GetRequest { key: "by".into() }).await?.into_inner().value, b"the main connection");
    println!("broker: ok");
    Ok(())
}

async fn listen(plugin: &mut Plugin, kv: &mut KvClient<Channel>) -> Result<()> {
    kv.say(SayRequest { level: Level::Warn.into(), text: SPOKEN.into() }).await?;
    while !plugin.log.recv().await.ok_or("the log has ended")?.contains(SPOKEN) {}
    println!("log: ok");
    let chunk = plugin.printed.recv().await.ok_or("nothing was printed")?;
    assert_eq!(String::from_utf8_lossy(&chunk.data), format!("{SPOKEN}\n"));
    println!("stdio: ok");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut command: Vec<String> = std::env::args().skip(1).collect();
    let (mut curve, mut plaintext, mut multiplex, mut broker) = (Curve::P521, false, false, false);
    while command.first().is_some_and(|argument| argument.starts_with("--")) {
        match command.remove(0).as_str() {
            "--plaintext" => plaintext = true,
            "--multiplex" => multiplex = true,
            "--broker" => broker = true,
            "--curve" if command.remove(0) == "P-256" => curve = Curve::P256,
            other => return Err(format!("what is {other}?").into()),
        }
    }
    let own = if plaintext { None } else { Some(Identity::new(curve)?) };
    let mut plugin = Plugin::start(&command, own, multiplex).await?;
    let mut kv = KvClient::new(plugin.conn.clone()).max_decoding_message_size(LIMIT);
    use_store(&mut kv).await?;
    if broker {
        call_back(&plugin, &mut kv).await?;
    } else {
        stream(&mut kv).await?;
    }
    tokio::time::timeout(PATIENCE, listen(&mut plugin, &mut kv)).await??;
    drop(kv);
    let status = plugin.stop().await?;
    println!("exit status: {}", status.code().ok_or("a signal")?);
    Ok(())
}
