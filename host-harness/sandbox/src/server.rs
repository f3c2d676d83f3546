//! The sockets: the vendor's paths on one port, the control door on another.

use crate::answer::Reply;
use crate::body::{Body, Cursor};
use crate::control;
use crate::exchange::{Call, InFlight, Plan, Sandbox, Settings};
use crate::switches::Switches;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the vendor's paths are; port 0 takes a free one. The control door is on a free port beside it.
    pub listen: SocketAddr,
    /// What the company is made from; the same number is the same company.
    pub seed: u64,
    /// How many partners it has at the start.
    pub partners: usize,
    /// How long every vendor call takes at least.
    pub latency: Duration,
    /// The company's public id; `None` takes one made from the seed.
    pub company_id: Option<String>,
    /// The company's key; `None` takes one made from the seed.
    pub secret_key: Option<String>,
    /// Behaviour nobody has settled, as it is taken at the start.
    pub switches: Switches,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            partners: 200,
            latency: Duration::ZERO,
            company_id: None,
            secret_key: None,
            switches: Switches::default(),
        }
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Making the company failed.
    #[error("cannot make the company")]
    Seed(#[from] tokio::task::JoinError),
}

/// A sandbox that runs. It stops when this is dropped; [`Running::stop`] also lets requests end.
#[derive(Debug)]
pub struct Running {
    /// What a client is given; ends in `/rest/eshop/`.
    pub base_url: String,
    /// Credential: the public id.
    pub company_id: String,
    /// Credential: the key.
    pub secret_key: String,
    /// Where the control door is; without a slash at the end.
    pub control_url: String,
    sandbox: Sandbox,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// How long requests have to end when a sandbox stops.
const GRACE: Duration = Duration::from_secs(3);
/// No request of the vendor's clients comes near.
const REQUEST_LIMIT: usize = 8 * 1024 * 1024;
/// Answers are sent in pieces of this size.
const PIECE: usize = 256 * 1024;

/// Starts a sandbox. Several can run in one process.
///
/// # Errors
/// [`Error::Listen`] when the address is not to be had.
pub async fn start(options: Options) -> Result<Running, Error> {
    let bind =
        async |address| TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source });
    let vendor = bind(options.listen).await?;
    let control = bind(SocketAddr::new(options.listen.ip(), 0)).await?;
    let address = |listener: &TcpListener| {
        listener.local_addr().map_err(|source| Error::Listen { address: options.listen, source })
    };
    let (vendor_at, control_at) = (reachable(address(&vendor)?), reachable(address(&control)?));
    let settings = Settings {
        company_id: options.company_id.unwrap_or_else(|| (16 + options.seed % 9000).to_string()),
        secret_key: options.secret_key.unwrap_or_else(|| made_up_key(options.seed)),
        seed: options.seed,
        partners: options.partners,
        latency: options.latency,
        switches: options.switches,
    };
    let (company_id, secret_key) = (settings.company_id.clone(), settings.secret_key.clone());
    let sandbox = tokio::task::spawn_blocking(move || Sandbox::new(settings)).await?;
    let (stop, stopped) = watch::channel(false);
    let tasks = vec![
        tokio::spawn(serve(vendor, sandbox.clone(), stopped.clone())),
        tokio::spawn(control::serve(control, sandbox.clone(), stopped)),
    ];
    Ok(Running {
        base_url: format!("http://{vendor_at}{}", crate::endpoint::ROOT),
        company_id,
        secret_key,
        control_url: format!("http://{control_at}"),
        sandbox,
        stop,
        tasks,
    })
}

impl Running {
    /// The line that tells whoever started it where everything is.
    #[must_use]
    pub fn announcement(&self) -> String {
        json!({
            "base_url": self.base_url,
            "company_id": self.company_id,
            "secret_key": self.secret_key,
            "control_url": self.control_url,
        })
        .to_string()
    }

    /// The company, without HTTP.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Takes no more connections, lets requests end, and closes.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        for task in &mut self.tasks {
            if tokio::time::timeout(GRACE, &mut *task).await.is_err() {
                task.abort();
            }
        }
    }

    /// Waits for its end, which only a broken socket brings; to be raced against a signal.
    pub async fn wait(&mut self) {
        for task in &mut self.tasks {
            if !task.is_finished() {
                let _ = task.await;
            }
        }
    }
}

/// A client on this machine cannot call `0.0.0.0`.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

fn made_up_key(seed: u64) -> String {
    let mixed = (seed ^ 0x5DEE_CE66).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("sandbox-{mixed:016x}{:016x}", mixed.rotate_left(29).wrapping_mul(0xD134_2543_DE82_EF95))
}

/// Resolves when the sandbox is told to stop or its owner is gone.
pub(crate) async fn told_to_stop(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn serve(listener: TcpListener, sandbox: Sandbox, stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut stop = pin!(told_to_stop(stopped.clone()));
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, sandbox.clone(), stopped.clone()));
                }
                // Out of file handles, most likely: some close soon.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, sandbox: Sandbox, stopped: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(sandbox.clone(), request));
    let mut http = hyper::server::conn::http1::Builder::new();
    // An idle connection stays open: a drop that nobody asked for would look like one that somebody did.
    http.header_read_timeout(None);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // An error here is a client that left or a fault that was asked for.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = told_to_stop(stopped) => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(GRACE, connection).await;
        }
    }
}

/// What makes hyper close the connection: before the head without a byte of an answer, in a body in its middle.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
struct Dropped;

type AnswerBody = UnsyncBoxBody<Bytes, Dropped>;

async fn answer(sandbox: Sandbox, request: Request<Incoming>) -> Result<Response<AnswerBody>, Dropped> {
    let (in_flight, guard) = sandbox.arrive();
    let post = request.method() == Method::POST;
    let path = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), REQUEST_LIMIT).collect().await.map_err(|_| Dropped)?;
    // A copy, because the journal keeps it and the original would keep the whole read buffer.
    let body = Bytes::copy_from_slice(&body.to_bytes());
    let call = Call { post, path, body, in_flight };
    // On its own task: a client that stops waiting does not undo what it asked for.
    let plan = tokio::spawn(async move { sandbox.exchange(call).await }).await.map_err(|_| Dropped)?;
    match plan {
        Plan::Drop => Err(Dropped),
        Plan::Answer(reply) => {
            if !reply.hold.is_zero() {
                tokio::time::sleep(reply.hold).await;
            }
            Ok(response(reply, guard))
        }
    }
}

fn response(reply: Reply, guard: InFlight) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (length, kind, retry_after) = (reply.announced, reply.content_type, reply.retry_after.clone());
    let mut response = Response::new(StreamBody::new(pieces(reply, guard)).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(Ok(value)) = retry_after.map(HeaderValue::try_from) {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

struct Sending {
    body: Arc<Body>,
    cursor: Cursor,
    left: usize,
    cut: bool,
    pace: Option<(usize, Duration)>,
    guard: Option<InFlight>,
}

/// The body in pieces. The request counts as in flight until its last piece is handed over, and not a moment
/// longer: the client's next request may come before we know that it has read this one.
fn pieces(reply: Reply, guard: InFlight) -> impl Stream<Item = Result<Frame<Bytes>, Dropped>> {
    let sending = Sending {
        cursor: Cursor::default(),
        left: reply.sent.min(reply.body.len()),
        cut: reply.announced > reply.sent,
        pace: reply.pace,
        guard: Some(guard),
        body: reply.body,
    };
    stream::unfold(sending, async |mut sending| {
        if sending.left == 0 {
            if !sending.cut {
                return None;
            }
            // Let what was handed over reach the socket before the connection goes.
            tokio::task::yield_now().await;
            sending.cut = false;
            return Some((Err(Dropped), sending));
        }
        let mut size = PIECE;
        if let Some((piece, wait)) = sending.pace {
            tokio::time::sleep(wait).await;
            size = piece;
        }
        let piece = sending.body.next(&mut sending.cursor, size.min(sending.left))?;
        let piece = piece.slice(..piece.len().min(sending.left));
        sending.left -= piece.len();
        if sending.left == 0 {
            sending.guard = None;
        }
        Some((Ok(Frame::data(piece)), sending))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    #[tokio::test]
    async fn a_request_is_out_of_flight_with_its_last_piece() {
        let running = start(Options { partners: 5_000, ..Options::default() }).await.unwrap();
        let sandbox = running.sandbox();
        let body = sandbox.state_body();
        let (first, guard) = sandbox.arrive();
        let length = body.len();
        let reply = Reply {
            status: 200,
            content_type: "",
            retry_after: None,
            body,
            announced: length,
            sent: length,
            hold: Duration::ZERO,
            pace: None,
        };
        let mut pieces = pin!(pieces(reply, guard));
        let (mut read, mut second) = (0, 2);
        while read < length {
            assert_eq!((first, second), (1, 2), "in flight while there is more to send");
            read += pieces.next().await.unwrap().unwrap().into_data().unwrap().len();
            second = sandbox.arrive().0;
        }
        assert_eq!(second, 1, "the stream is still there, the request is not");
    }
}
