//! The part that touches the network: one client for all tenants of the process.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};

use super::address::AddressRefusal;
use super::connection::Prepared;
use super::spool::Spool;
use super::{
    AllowedHosts, Answer, Body, BreakerRules, Connection, ErrorKind, Gate, HttpError, Lane, Transfer,
    TransferWatcher, policy,
};

/// What can be set about the network.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// Hosts that may be called though they are not public.
    pub allowed_hosts: AllowedHosts,
    /// When to stop calling a side that fails.
    pub breaker: BreakerRules,
    /// Most requests to one company per second; none for no limit.
    pub requests_per_second: Option<u32>,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Largest answer to a point call.
    pub largest_point: u64,
    /// Largest answer to a scan.
    pub largest_scan: u64,
    /// Where scan answers lie while a run reads them; the system's place for temporary files when absent.
    pub spool_folder: Option<PathBuf>,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            allowed_hosts: AllowedHosts::default(),
            breaker: BreakerRules::default(),
            requests_per_second: None,
            connect_timeout: Duration::from_secs(10),
            largest_point: 4 * 1024 * 1024,
            largest_scan: 512 * 1024 * 1024,
            spool_folder: None,
        }
    }
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be made: {0}")]
pub struct TransportError(String);

/// The network, for every tenant of the process. Make one per process: the limits per company live in it.
pub struct Transport {
    client: reqwest::Client,
    options: TransportOptions,
    gates: Mutex<BTreeMap<(String, String), Arc<Gate>>>,
}

/// Idle connections are dropped before servers usually drop them (the shortest common habit is five seconds): a
/// request that meets the closing one may or may not have arrived, and a create would have to wait for certainty.
const IDLE: Duration = Duration::from_secs(4);

impl Transport {
    /// The network under these rules.
    ///
    /// # Errors
    /// The TLS library refuses its settings.
    pub fn new(options: TransportOptions) -> Result<Arc<Self>, TransportError> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error means that somebody was first, with a provider of their choice.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .dns_resolver(Arc::new(options.allowed_hosts.clone()))
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .user_agent(concat!("host-harness/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| TransportError(chain(&error)))?;
        Ok(Arc::new(Self { client, options, gates: Mutex::default() }))
    }

    /// Whether the connection's address may be called, as far as that is known before calling.
    ///
    /// # Errors
    /// The refusal names the line that would allow it.
    pub fn check(&self, connection: &Connection) -> Result<(), AddressRefusal> {
        self.options.allowed_hosts.check(connection.base_url())
    }

    /// The doorway of the connection's company, the same one for every run.
    pub fn gate(&self, connection: &Connection) -> Arc<Gate> {
        let key = (connection.base_url().to_string(), connection.company_id().to_owned());
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates
            .entry(key)
            .or_insert_with(|| Arc::new(Gate::new(self.options.breaker, self.options.requests_per_second)));
        Arc::clone(gate)
    }

    /// One request and its whole answer.
    pub(super) async fn exchange(
        &self,
        connection: &Connection,
        prepared: Prepared,
        lane: Lane,
        call: u64,
        watcher: Option<&TransferWatcher>,
    ) -> Result<Answer, HttpError> {
        let mut response = self
            .client
            .post(prepared.url)
            .header(CONTENT_TYPE, "application/json")
            .body(prepared.body)
            .send()
            .await
            .map_err(sending)?;

        let redactor = connection.redactor();
        let text = |headers: &HeaderMap, name| {
            headers.get(name).map(|value| redactor.text(&String::from_utf8_lossy(value.as_bytes())))
        };
        let status = response.status().as_u16();
        let content_type = text(response.headers(), CONTENT_TYPE);
        let retry_after = text(response.headers(), RETRY_AFTER)
            .and_then(|value| retry_after(&value, std::time::SystemTime::now().into()));
        if let Some(encoding) = text(response.headers(), CONTENT_ENCODING)
            && !encoding.eq_ignore_ascii_case("identity")
        {
            // Inside of it the secret could not be found.
            return Err(broken(format!("the answer is encoded as {encoding:?}, which nobody asked for")));
        }

        let largest = match lane {
            Lane::Point => self.options.largest_point,
            Lane::Scan => self.options.largest_scan,
        };
        let total = response.content_length();
        if total.is_some_and(|total| total > largest) {
            return Err(too_large(largest));
        }
        let body = match lane {
            Lane::Point => {
                let mut bytes = Vec::with_capacity(total.unwrap_or(0) as usize);
                while let Some(piece) = response.chunk().await.map_err(receiving)? {
                    if (bytes.len() + piece.len()) as u64 > largest {
                        return Err(too_large(largest));
                    }
                    bytes.extend_from_slice(&piece);
                }
                redactor.bytes(&mut bytes);
                Body::in_memory(bytes)
            }
            Lane::Scan => {
                let folder = self.options.spool_folder.as_deref();
                let mut spool = Spool::create(folder, redactor.clone()).await.map_err(spooling)?;
                let mut received = 0;
                while let Some(piece) = response.chunk().await.map_err(receiving)? {
                    received += piece.len() as u64;
                    if received > largest {
                        return Err(too_large(largest));
                    }
                    spool = spool.push(&piece).await.map_err(spooling)?;
                    if let Some(watcher) = watcher {
                        watcher(Transfer { call, received, total });
                    }
                }
                let (file, length) = spool.finish().await.map_err(spooling)?;
                Body::on_disk(file, length)
            }
        };
        Ok(Answer { call, status, retry_after, content_type, body })
    }
}

/// Why a request did not even get the head of an answer.
fn sending(error: reqwest::Error) -> HttpError {
    if let Some(refusal) = causes(&error).find_map(|cause| cause.downcast_ref::<AddressRefusal>()) {
        return policy(refusal);
    }
    let kind = if error.is_timeout() { ErrorKind::TimedOut } else { ErrorKind::Unavailable };
    // Connecting includes names and TLS; the request itself begins to leave only after it.
    HttpError { kind, may_have_arrived: !error.is_connect(), ..broken(chain(&error)) }
}

fn receiving(error: reqwest::Error) -> HttpError {
    broken(format!("the answer broke off: {}", chain(&error)))
}

fn spooling(error: std::io::Error) -> HttpError {
    broken(format!("the answer could not be stored on this machine's disk: {error}"))
}

fn too_large(largest: u64) -> HttpError {
    let message = format!("the answer is larger than the {largest} bytes its lane allows");
    HttpError { kind: ErrorKind::TooLarge, ..broken(message) }
}

/// An error of a request that may have been carried out.
fn broken(message: String) -> HttpError {
    HttpError { kind: ErrorKind::Unavailable, message, may_have_arrived: true, retry_after_ms: None }
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| -> Option<&'a (dyn StdError + 'static)> { (*error).source() })
}

/// The error with its causes. The address of the request is left out: it says nothing the reader does not know.
fn chain(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = match cause.downcast_ref::<reqwest::Error>() {
            Some(error) if error.is_timeout() => "timed out".to_owned(),
            Some(error) if error.is_connect() => "could not connect".to_owned(),
            Some(_) => continue,
            None => cause.to_string(),
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    if texts.is_empty() { "the exchange failed".to_owned() } else { texts.join(": ") }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(value: &str, now: chrono::DateTime<chrono::Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    Some(date.signed_duration_since(now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let rows = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Thu, 01 Jan 2026 00:01:30 GMT", Some(90)),
            ("Wed, 31 Dec 2025 00:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, seconds) in rows {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
