//! Connections, listeners, and gRPC on both.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::{env, fs, io};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Error, Server};

use crate::security::Security;

/// The largest message, in bytes; tonic's own limit is 4 MiB.
pub const LIMIT: usize = 64 << 20;

/// A connection of any kind.
pub type Io = Box<dyn Stream>;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connected for Box<dyn Stream> {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

pub enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
    /// Streams of a multiplexed connection.
    Streams(mpsc::UnboundedReceiver<Io>),
}

impl Listener {
    /// Listens on a new address, and returns its network and the address.
    pub async fn new(tcp: bool) -> io::Result<(Self, String, String)> {
        if tcp {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?.to_string();
            return Ok((Listener::Tcp(listener), "tcp".into(), address));
        }
        let directory = env::var_os("PLUGIN_UNIX_SOCKET_DIR").map_or_else(env::temp_dir, PathBuf::from);
        let random = RandomState::new().build_hasher().finish();
        let path = directory.join(format!("plugin{random:x}"));
        let address = path.to_string_lossy().into_owned();
        Ok((Listener::Unix(UnixListener::bind(&path)?, path), "unix".into(), address))
    }

    /// Returns the next connection, which is not yet secured.
    pub async fn accept(&mut self) -> io::Result<Io> {
        match self {
            Listener::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Listener::Streams(streams) => streams.recv().await.ok_or(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

/// Connects to where the other side listens.
pub async fn dial(network: &str, address: &str) -> io::Result<Io> {
    match network {
        "unix" => Ok(Box::new(UnixStream::connect(address).await?)),
        "tcp" => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, format!("there is no network {network:?}"))),
    }
}

/// Serves what a listener accepts, until `end`, or until it accepts no more.
pub async fn serve(
    mut listener: Listener,
    security: Security,
    routes: Routes,
    end: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (send, secured) = mpsc::channel(1);
    let accept = async move {
        while let Ok(io) = listener.accept().await {
            let (security, send) = (security.clone(), send.clone());
            tokio::spawn(async move {
                match security.accept(io).await {
                    Ok(io) => drop(send.send(Ok::<_, io::Error>(io)).await),
                    Err(error) => eprintln!("[DEBUG] a connection that is not the host's: {error}"),
                }
            });
        }
        drop(send);
        std::future::pending().await // calls may still be at work
    };
    let incoming = ReceiverStream::new(secured);
    tokio::select! {
        done = Server::builder().add_routes(routes).serve_with_incoming_shutdown(incoming, end) => done,
        never = accept => never,
    }
}

/// Returns a client's channel on a connection.
pub async fn channel(io: Io) -> Result<Channel, Error> {
    let mut io = Some(TokioIo::new(io));
    let connect = tower::service_fn(move |_| {
        std::future::ready(io.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connect).await
}
