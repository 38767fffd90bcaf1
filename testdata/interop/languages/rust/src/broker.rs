//! Further connections between plugin and host, in either direction.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{future, io};

use tokio::io::AsyncWrite;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use yamux::{Config, Connection, Mode};

use crate::connection::{self, Io, Listener};
use crate::proto::plugin::conn_info::Knock;
use crate::proto::plugin::{ConnInfo, grpc_broker_server::GrpcBroker};
use crate::security::Security;

/// How long the other side of the broker may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is sent to the other side once it reads.
pub struct Outbox<T> {
    send: Mutex<Option<mpsc::UnboundedSender<Result<T, Status>>>>,
    unread: Mutex<Option<UnboundedReceiverStream<Result<T, Status>>>>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        let (send, unread) = mpsc::unbounded_channel();
        Outbox { send: Some(send).into(), unread: Some(unread.into()).into() }
    }
}

impl<T> Outbox<T> {
    pub fn send(&self, message: T) {
        if let Some(send) = &*self.send.lock().unwrap() {
            let _ = send.send(Ok(message)); // nobody reads any more, or will
        }
    }

    /// Returns what is read, once.
    pub fn read(&self) -> Result<UnboundedReceiverStream<Result<T, Status>>, Status> {
        self.unread.lock().unwrap().take().ok_or_else(|| Status::failed_precondition("another stream is open"))
    }

    pub fn close(&self) {
        self.send.lock().unwrap().take();
    }
}

pub struct Broker {
    security: Security,
    tcp: bool,
    mux: Option<Mux>,
    last: AtomicU32,
    pub outbox: Outbox<ConnInfo>,
    /// What the other side has told, by id.
    told: Mutex<HashMap<u32, ConnInfo>>,
    heard: Notify,
}

impl Broker {
    pub fn new(security: Security, tcp: bool, mux: Option<Mux>) -> Self {
        Broker {
            security,
            tcp,
            mux,
            last: AtomicU32::new(0),
            outbox: Outbox::default(),
            told: Mutex::default(),
            heard: Notify::new(),
        }
    }

    /// Serves on a connection of its own, and returns the id that the other side dials.
    pub async fn serve(&self, routes: Routes) -> Result<u32, Status> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let listener = match &self.mux {
            Some(mux) => mux.listen(id), // the other side knocks
            None => {
                let (listener, network, address) = Listener::new(self.tcp).await?;
                self.outbox.send(ConnInfo { service_id: id, network, address, knock: None });
                listener
            }
        };
        tokio::spawn(connection::serve(listener, self.security.clone(), routes, future::pending()));
        Ok(id)
    }

    /// Connects to what the other side serves under an id.
    pub async fn dial(&self, id: u32) -> Result<Channel, Status> {
        let io = match &self.mux {
            Some(mux) => {
                let _one = mux.dialing.lock().await; // the nth stream is for the nth knock
                let knock = Some(Knock { knock: true, ..Default::default() });
                self.outbox.send(ConnInfo { service_id: id, knock, ..Default::default() });
                let answer = self.hear(id).await?.knock.unwrap_or_default();
                if !answer.ack {
                    return Err(Status::unavailable(format!("the other side refuses {id}: {}", answer.error)));
                }
                mux.open().await?
            }
            None => {
                let told = self.hear(id).await?;
                connection::dial(&told.network, &told.address).await?
            }
        };
        let io = self.security.connect(io).await?;
        connection::channel(io).await.map_err(|error| Status::unavailable(error.to_string()))
    }

    /// Waits for what the other side tells of an id.
    async fn hear(&self, id: u32) -> Result<ConnInfo, Status> {
        let told = async {
            loop {
                let mut heard = std::pin::pin!(self.heard.notified());
                heard.as_mut().enable();
                if let Some(told) = self.told.lock().unwrap().remove(&id) {
                    return told;
                }
                heard.await;
            }
        };
        tokio::time::timeout(PATIENCE, told)
            .await
            .map_err(|_| Status::deadline_exceeded(format!("the other side tells nothing of {id}")))
    }

    /// Takes in what the other side sends.
    pub async fn listen(self: Arc<Self>, mut infos: Streaming<ConnInfo>) {
        while let Ok(Some(info)) = infos.message().await {
            self.told(info);
        }
    }

    fn told(&self, mut info: ConnInfo) {
        if let (Some(mux), Some(knock)) = (&self.mux, &mut info.knock)
            && !knock.ack
        {
            if mux.expect(info.service_id) {
                knock.ack = true;
                self.outbox.send(info);
            }
            return;
        }
        self.told.lock().unwrap().insert(info.service_id, info);
        self.heard.notify_waiters();
    }
}

#[tonic::async_trait]
impl GrpcBroker for Arc<Broker> {
    type StartStreamStream = UnboundedReceiverStream<Result<ConnInfo, Status>>;

    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        let outgoing = self.outbox.read()?;
        tokio::spawn(self.clone().listen(request.into_inner()));
        Ok(Response::new(outgoing))
    }
}

/// Multiplexing: all connections are yamux streams of one, which the host dials.
pub struct Mux {
    state: Arc<Mutex<Expected>>,
    wanted: mpsc::Sender<oneshot::Sender<Io>>,
    dialing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Expected {
    /// Who takes a stream that comes for an id. A plugin's main server has 0.
    listeners: HashMap<u32, mpsc::UnboundedSender<Io>>,
    /// Whom the next streams are for. Without a knock a stream is for the main server.
    next: VecDeque<u32>,
}

impl Mux {
    /// Returns a plugin's side, which takes the one connection that is accepted,
    /// and the main server's listener.
    pub fn server(mut raw: Listener) -> (Self, Listener) {
        let (mux, wants) = Mux::new();
        let (main, state) = (mux.listen(0), mux.state.clone());
        tokio::spawn(async move {
            if let Ok(io) = raw.accept().await {
                run(io, Mode::Server, &state, wants).await;
            }
            state.lock().unwrap().listeners.clear(); // it is over: the plugin ends
        });
        (mux, main)
    }

    /// Returns a host's side of a connection to a plugin.
    pub fn client(raw: Io) -> Self {
        let (mux, wants) = Mux::new();
        let state = mux.state.clone();
        tokio::spawn(async move { run(raw, Mode::Client, &state, wants).await });
        mux
    }

    fn new() -> (Self, mpsc::Receiver<oneshot::Sender<Io>>) {
        let (wanted, wants) = mpsc::channel(1);
        (Mux { state: Arc::default(), wanted, dialing: Default::default() }, wants)
    }

    fn listen(&self, id: u32) -> Listener {
        let (send, streams) = mpsc::unbounded_channel();
        self.state.lock().unwrap().listeners.insert(id, send);
        Listener::Streams(streams)
    }

    /// Makes the next stream one for an id, if anybody listens there.
    fn expect(&self, id: u32) -> bool {
        let mut state = self.state.lock().unwrap();
        let listens = state.listeners.contains_key(&id);
        if listens {
            state.next.push_back(id);
        }
        listens
    }

    /// Opens a stream. A host's first is its main connection.
    pub async fn open(&self) -> io::Result<Io> {
        let (send, opened) = oneshot::channel();
        let _ = self.wanted.send(send).await; // if it is over, opened says so
        opened.await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Drives a multiplexed connection to its end.
async fn run(io: Io, mode: Mode, state: &Mutex<Expected>, mut wants: mpsc::Receiver<oneshot::Sender<Io>>) {
    let mut connection = Connection::new(io.compat(), Config::default(), mode);
    let mut want = None;
    future::poll_fn(|cx| {
        use std::task::Poll::{Pending, Ready};
        loop {
            if want.is_none()
                && let Ready(next) = wants.poll_recv(cx)
            {
                want = next;
            }
            if want.is_some()
                && let Ready(opened) = connection.poll_new_outbound(cx)
            {
                let (want, Ok(stream)) = (want.take(), opened) else { return Ready(()) };
                let _ = want.expect("there is one").send(Box::new(stream.compat()));
                continue;
            }
            match connection.poll_next_inbound(cx) {
                Ready(Some(Ok(stream))) => {
                    // yamux accepts a stream with the first data that it writes. Hosts
                    // may send nothing before, and the first data of TLS be theirs.
                    let mut stream = Box::new(stream.compat());
                    let _ = AsyncWrite::poll_write(Pin::new(&mut stream), cx, &[]);
                    let mut state = state.lock().unwrap();
                    let id = state.next.pop_front().unwrap_or_default();
                    if let Some(listener) = state.listeners.get(&id) {
                        let _ = listener.send(stream);
                    }
                }
                Ready(_) => return Ready(()),
                Pending => return Pending,
            }
        }
    })
    .await
}
