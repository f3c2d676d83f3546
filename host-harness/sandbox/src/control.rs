//! The control door: what tests, demos and outside checks use, and the vendor does not have.

use crate::body::{Body, Cursor};
use crate::exchange::{EditError, Sandbox};
use crate::fault;
use crate::server::told_to_stop;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use futures_util::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Large answers go out in pieces of this size.
const PIECE: usize = 256 * 1024;

pub(crate) async fn serve(listener: TcpListener, sandbox: Sandbox, stopped: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/state", get(state))
        .route("/requests", get(requests))
        .route("/edit", post(edit))
        .route("/faults", get(faults).post(set_faults))
        .route("/switches", get(switches).post(set_switches))
        .route("/reset", post(reset))
        .fallback(nothing_here)
        .with_state(sandbox);
    // A broken socket ends this door and nothing else; `Running::wait` notices.
    let _ = axum::serve(listener, router).with_graceful_shutdown(told_to_stop(stopped)).await;
}

async fn state(State(sandbox): State<Sandbox>) -> Response {
    large(sandbox.state_body())
}

async fn requests(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let mut since = 0;
    for pair in query.as_deref().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').map(|(name, value)| (name, value.parse())) {
            Some(("since", Ok(n))) => since = n,
            _ => return refusal(StatusCode::BAD_REQUEST, "takes only since=N, a whole number"),
        }
    }
    // Hashing large answers and writing a long log take their time.
    let json = tokio::task::spawn_blocking(move || sandbox.requests_json(since)).await.unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

async fn edit(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let posted = match serde_json::from_slice(&body) {
        Ok(posted) => posted,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &format!("not JSON: {error}")),
    };
    match sandbox.edit(&posted) {
        Ok(record) => Json(record).into_response(),
        Err(error @ EditError::NotFound { .. }) => refusal(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error @ EditError::Malformed(_)) => refusal(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn faults() -> Json<Value> {
    Json(Sandbox::fault_meanings())
}

async fn set_faults(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let outcome = match serde_json::from_slice(&body) {
        Ok(posted) => sandbox.faults(&posted).map_err(|error| error.to_string()),
        Err(error) => Err(format!("not JSON: {error}")),
    };
    match outcome {
        Ok(rules) => Json(json!({"rules": rules})).into_response(),
        Err(error) => {
            let answer = json!({"error": error, "faults": fault::names()});
            (StatusCode::BAD_REQUEST, Json(answer)).into_response()
        }
    }
}

async fn switches(State(sandbox): State<Sandbox>) -> Json<Value> {
    Json(sandbox.switches().list())
}

async fn set_switches(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let outcome = match serde_json::from_slice(&body) {
        Ok(posted) => sandbox.set_switches(&posted).map_err(|error| error.to_string()),
        Err(error) => Err(format!("not JSON: {error}")),
    };
    match outcome {
        Ok(switches) => Json(switches.list()).into_response(),
        Err(error) => refusal(StatusCode::BAD_REQUEST, &error),
    }
}

async fn reset(State(sandbox): State<Sandbox>) -> Response {
    match tokio::task::spawn_blocking(move || sandbox.reset()).await {
        Ok(()) => Json(json!({"reset": true})).into_response(),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn nothing_here() -> Response {
    let doors = "GET /state, GET /requests?since=N, POST /edit, GET or POST /faults, GET or POST /switches, POST /reset";
    refusal(StatusCode::NOT_FOUND, &format!("there is {doors}"))
}

fn refusal(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}

fn large(body: Arc<Body>) -> Response {
    let length = body.len();
    let pieces = stream::unfold((body, Cursor::default()), async |(body, mut cursor)| {
        let piece = body.next(&mut cursor, PIECE)?;
        Some((Ok::<_, Infallible>(piece), (body, cursor)))
    });
    let headers = [(CONTENT_TYPE, "application/json".to_owned()), (CONTENT_LENGTH, length.to_string())];
    (headers, axum::body::Body::from_stream(pieces)).into_response()
}
