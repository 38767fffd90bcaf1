//! What a plugin has beside its own services: the handshake with the host that
//! started it, and the services that every host calls.

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use std::{env, process};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;

use crate::broker::{Broker, Mux, Outbox};
use crate::connection::{self, Listener};
use crate::proto::plugin::grpc_broker_server::GrpcBrokerServer;
use crate::proto::plugin::grpc_controller_server::{GrpcController, GrpcControllerServer};
use crate::proto::plugin::grpc_stdio_server::{GrpcStdio, GrpcStdioServer};
use crate::proto::plugin::{Empty, StdioData, stdio_data::Channel};
use crate::security::{self, Curve, Identity, Security};

/// The application's own, which its hosts have, too.
pub const COOKIE: (&str, &str) = ("KV_PLUGIN", "keys-and-values");
pub const VERSION: u32 = 1;

/// How long calls may go on once the plugin is told to end.
const GRACE: Duration = Duration::from_secs(1);

/// What the services of a plugin get.
pub struct Plugin {
    pub broker: Arc<Broker>,
    printed: Arc<Outbox<StdioData>>,
}

impl Plugin {
    /// Prints where the host's user sees it.
    pub fn print(&self, text: &str) {
        self.printed.send(StdioData { channel: Channel::Stdout as i32, data: text.into() });
    }
}

/// Runs the plugin until its host ends it.
pub async fn run(tcp: bool, services: impl FnOnce(Arc<Plugin>) -> Routes) -> Result<(), Box<dyn Error>> {
    if env::var(COOKIE.0).as_deref() != Ok(COOKIE.1) {
        eprintln!("This program is a plugin. The program that it belongs to starts it.");
        process::exit(1);
    }
    let (security, certificate) = match env::var("PLUGIN_CLIENT_CERT") {
        Ok(host) if !host.is_empty() => {
            let host = security::from_pem(&host)?;
            let own = Identity::new(Curve::of(&host))?;
            let certificate = own.encoded();
            (Security::mutual(own, host)?, certificate)
        }
        _ => (Security::plaintext(), String::new()),
    };
    let (mut listener, network, address) = Listener::new(tcp).await?;
    let mut line = format!("1|{VERSION}|{network}|{address}|grpc|{certificate}");
    let mut mux = None;
    if env::var("PLUGIN_MULTIPLEX_GRPC").is_ok_and(|wish| wish == "true") {
        let (streams, main) = Mux::server(listener);
        (mux, listener) = (Some(streams), main);
        line += "|true";
    }

    let broker = Arc::new(Broker::new(security.clone(), tcp, mux));
    let plugin = Arc::new(Plugin { broker: broker.clone(), printed: Arc::default() });
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("plugin", ServingStatus::Serving).await;
    let told = Arc::new(Notify::new());
    let routes = services(plugin.clone())
        .add_service(health)
        .add_service(GrpcBrokerServer::new(broker))
        .add_service(GrpcControllerServer::new(Controller(told.clone())))
        .add_service(GrpcStdioServer::new(plugin.clone()));

    let mut terminated = signal(SignalKind::terminate())?;
    let _interrupts = signal(SignalKind::interrupt())?; // are for the host
    let over = Arc::new(Notify::new());
    let end = async {
        tokio::select! {
            _ = told.notified() => {}
            _ = terminated.recv() => {}
        }
        plugin.broker.outbox.close();
        plugin.printed.close();
        over.notify_one();
    };
    println!("{line}");
    io::stdout().flush()?;
    tokio::select! {
        done = connection::serve(listener, security, routes, end) => done?,
        _ = async { over.notified().await; tokio::time::sleep(GRACE).await } => {}
    }
    Ok(())
}

struct Controller(Arc<Notify>);

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.0.notify_one();
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl GrpcStdio for Arc<Plugin> {
    type StreamStdioStream = UnboundedReceiverStream<Result<StdioData, Status>>;

    async fn stream_stdio(&self, _: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(self.printed.read()?))
    }
}
