//! A plugin in Rust: a store of keys and values.
//!
//!     plugin [--tcp]
//!
//! Hosts start it. --tcp serves on TCP.

use std::error::Error;
use std::sync::Arc;

use tonic::service::Routes;
use tonic::{Request, Response, Status};

use example::broker::Broker;
use example::goplugin;
use example::proto::kv::{PutRequest, kv_client::KvClient};
use example::proto::languages::callback_server::{Callback, CallbackServer};
use example::proto::languages::{CallBackRequest, CallBackResponse};
use example::store::Store;

/// Uses the broker both ways.
struct Caller {
    broker: Arc<Broker>,
    store: Store,
}

#[tonic::async_trait]
impl Callback for Caller {
    async fn call_back(&self, request: Request<CallBackRequest>) -> Result<Response<CallBackResponse>, Status> {
        let CallBackRequest { host_store, key, value } = request.into_inner();
        KvClient::new(self.broker.dial(host_store).await?).put(PutRequest { key, value }).await?;
        let plugin_store = self.broker.serve(Routes::new(self.store.clone().server())).await?;
        Ok(Response::new(CallBackResponse { plugin_store }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let tcp = std::env::args().any(|argument| argument == "--tcp");
    goplugin::run(tcp, |plugin| {
        let broker = plugin.broker.clone();
        let store = Store::new(move |text| plugin.print(text));
        Routes::new(store.clone().server()).add_service(CallbackServer::new(Caller { broker, store }))
    })
    .await
}
