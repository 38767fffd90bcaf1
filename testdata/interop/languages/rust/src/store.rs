//! The store of keys and values that the example's plugins serve.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::connection::LIMIT;
use crate::proto::kv::kv_server::{Kv, KvServer};
use crate::proto::kv::say_request::Level;
use crate::proto::kv::watch_response::Kind;
use crate::proto::kv::*;

/// A store of keys and values.
#[derive(Clone)]
pub struct Store {
    state: Arc<Mutex<State>>,
    print: Arc<dyn Fn(&str) + Send + Sync>,
}

#[derive(Default)]
struct State {
    values: BTreeMap<String, Vec<u8>>,
    /// With the prefix that each wants to hear of.
    watchers: Vec<(String, mpsc::UnboundedSender<Result<WatchResponse, Status>>)>,
}

impl State {
    fn put(&mut self, key: String, value: Vec<u8>) -> Result<bool, Status> {
        if key.is_empty() {
            return Err(Status::invalid_argument("the key is empty"));
        }
        let replaced = self.values.insert(key.clone(), value.clone()).is_some();
        self.changed(Kind::Put, key, value);
        Ok(replaced)
    }

    /// Tells the watchers, and forgets those whose calls have ended.
    fn changed(&mut self, kind: Kind, key: String, value: Vec<u8>) {
        let event = WatchResponse { kind: kind.into(), key, value };
        self.watchers.retain(|(prefix, watcher)| match event.key.starts_with(prefix) {
            true => watcher.send(Ok(event.clone())).is_ok(),
            false => !watcher.is_closed(),
        });
    }
}

impl Store {
    pub fn new(print: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Store { state: Arc::default(), print: Arc::new(print) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn server(self) -> KvServer<Self> {
        KvServer::new(self).max_decoding_message_size(LIMIT)
    }
}

#[tonic::async_trait]
impl Kv for Store {
    type WatchStream = UnboundedReceiverStream<Result<WatchResponse, Status>>;
    type GetAllStream = Pin<Box<dyn Stream<Item = Result<GetAllResponse, Status>> + Send>>;

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let PutRequest { key, value } = request.into_inner();
        let replaced = self.state().put(key, value)?;
        Ok(Response::new(PutResponse { replaced }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let key = request.into_inner().key;
        match self.state().values.get(&key) {
            Some(value) => Ok(Response::new(GetResponse { value: value.clone() })),
            None => Err(Status::not_found(format!("there is no key \"{key}\""))),
        }
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let key = request.into_inner().key;
        let mut state = self.state();
        let deleted = state.values.remove(&key).is_some();
        if deleted {
            state.changed(Kind::Deleted, key, Vec::new());
        }
        Ok(Response::new(DeleteResponse { deleted }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let prefix = request.into_inner().prefix;
        let (send, events) = mpsc::unbounded_channel();
        let mut state = self.state();
        for (key, value) in state.values.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            let event = WatchResponse { kind: Kind::Present.into(), key: key.clone(), value: value.clone() };
            let _ = send.send(Ok(event));
        }
        state.watchers.push((prefix, send));
        Ok(Response::new(events.into()))
    }

    async fn put_all(&self, request: Request<Streaming<PutRequest>>) -> Result<Response<PutAllResponse>, Status> {
        let (mut requests, mut stored) = (request.into_inner(), 0);
        while let Some(PutRequest { key, value }) = requests.message().await? {
            self.state().put(key, value)?;
            stored += 1;
        }
        Ok(Response::new(PutAllResponse { stored }))
    }

    async fn get_all(&self, request: Request<Streaming<GetRequest>>) -> Result<Response<Self::GetAllStream>, Status> {
        let store = self.clone();
        let answers = request.into_inner().map(move |request| {
            let key = request?.key;
            let value = store.state().values.get(&key).cloned();
            Ok(GetAllResponse { key, value })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn say(&self, request: Request<SayRequest>) -> Result<Response<SayResponse>, Status> {
        let request = request.into_inner();
        let level = match request.level() {
            Level::Unspecified => Level::Info,
            level => level,
        };
        // Hosts log such a line at its level.
        eprintln!("[{}] {}", level.as_str_name().trim_start_matches("LEVEL_"), request.text.replace('\n', " "));
        (self.print)(&(request.text + "\n"));
        Ok(Response::new(SayResponse {}))
    }
}
