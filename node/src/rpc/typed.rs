//! What the framework answers by itself, with the symbol that our errors have.

use fresnel_types::rpc::Failure;
use jsonrpsee_core::middleware::{Batch, BatchEntry, Notification, RpcServiceT};
use jsonrpsee_server::{
    BatchResponseBuilder, MethodResponse,
    types::{ErrorObjectOwned, Request, error::ErrorCode},
};

use super::fault::Fault;
use crate::limits::RPC_ANSWER_BYTES_MAX;

/// Stands between the connection and the methods.
#[derive(Clone)]
pub(super) struct Typed<S>(pub(super) S);

impl<S> RpcServiceT for Typed<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.0.clone();
        async move {
            let (id, method) = (request.id(), request.method_name().to_owned());
            let response = service.call(request).await;
            if response.is_subscription() {
                return response;
            }
            let failure = match response.as_error_code().map(ErrorCode::from) {
                Some(ErrorCode::MethodNotFound) => {
                    Fault::failed(Failure::UnknownMethod, format!("there is no method {method:?}"))
                }
                // Over HTTP the framework knows no other answer to a subscription.
                Some(ErrorCode::InternalError) if is_subscription(&method) => {
                    Fault::failed(Failure::NoSubscriptions, format!("{method} needs a WebSocket"))
                }
                Some(ErrorCode::ServerError(code)) if code == TOO_MANY_SUBSCRIPTIONS => Fault::failed(
                    Failure::TooManySubscriptions,
                    "the connection has as many subscriptions as it may",
                ),
                _ => return response,
            };
            MethodResponse::error(id, ErrorObjectOwned::from(failure))
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let typed = self.clone();
        async move {
            let mut responses = BatchResponseBuilder::new_with_limit(RPC_ANSWER_BYTES_MAX as usize);
            let mut is_notified = false;
            for entry in batch {
                let response = match entry {
                    Ok(BatchEntry::Call(request)) => typed.call(request).await,
                    Ok(BatchEntry::Notification(_)) => {
                        is_notified = true;
                        continue;
                    }
                    Err(error) => {
                        let (error, id) = error.into_parts();
                        MethodResponse::error(id, error)
                    }
                };
                if let Err(too_large) = responses.append(response) {
                    return too_large;
                }
            }
            if responses.is_empty() && is_notified {
                MethodResponse::notification()
            } else {
                MethodResponse::from_batch(responses.finish())
            }
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.0.notification(notification)
    }
}

fn is_subscription(method: &str) -> bool {
    super::SUBSCRIPTIONS.iter().any(|(subscribe, _, unsubscribe)| [subscribe, unsubscribe].contains(&&method))
}

/// The framework's code for it.
const TOO_MANY_SUBSCRIPTIONS: i32 = jsonrpsee_server::types::error::TOO_MANY_SUBSCRIPTIONS_CODE;
