//! Calls to Metakocka: families and paths, what an answer means, and the only place that tries a read again.

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};

use super::elements::{ListError, read_all};
use super::envelope::Envelope;
use super::outcome::{CallError, Refusal, RefusalKind, WriteOutcome};
use super::partner::{Partner, Problem};
use crate::model::{IdMaker, MkId};
use crate::ports::{Category, HttpError, HttpErrorKind, Lane, Level, Powers, Request, Response};

/// The endpoints used. The path family belongs to the endpoint: the wrong one answers an HTML page (`README.md` of the
/// vendor's documentation lists them by family).
mod path {
    pub const GET_PARTNER: &str = "v1/get_partner";
    pub const ADD_PARTNER: &str = "v1/add_partner";
    pub const UPDATE_PARTNER: &str = "v1/update_partner";
    pub const WAREHOUSE_LIST: &str = "v1/json/warehouse_list";
}

/// The list member of a partner answer.
pub const PARTNER_LIST: &str = "partner_list";

const READ_TIMEOUT_MS: u32 = 30_000;
const SCAN_TIMEOUT_MS: u32 = 120_000;
const WRITE_TIMEOUT_MS: u32 = 120_000;
const PIECE: u32 = 1024 * 1024;

/// When and how often a read is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first one.
    pub max_retries: u32,
    /// The first wait, milliseconds.
    pub base_delay_ms: u64,
    /// Whether waits double.
    pub exponential: bool,
    /// The longest wait, milliseconds.
    pub max_delay_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_retries: 3, base_delay_ms: 1_000, exponential: true, max_delay_ms: 10_000 }
    }
}

impl Retry {
    /// The wait before try number `attempt` (from 1), `chance` being any number. The vendor's wish wins.
    #[must_use]
    pub fn delay(&self, attempt: u32, wish: Option<u64>, chance: u64) -> u64 {
        if let Some(wish) = wish {
            return wish;
        }
        let factor = if self.exponential {
            1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX)
        } else {
            1
        };
        let full = self.base_delay_ms.saturating_mul(factor).min(self.max_delay_ms);
        // Between half of it and all of it.
        full / 2 + chance % (full / 2).max(1)
    }
}

/// How a partner is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartnerKey {
    /// By internal id.
    Id(MkId),
    /// By tax number. Slovenian numbers are asked for without their prefix: matching is by part, so both spellings are found.
    Tax(String),
    /// By e-mail of a contact person; a fuzzy match, to be checked again.
    Email(String),
    /// By a part of the name.
    Name(String),
}

impl PartnerKey {
    fn body(&self) -> Value {
        match self {
            Self::Id(id) => json!({ "partner_id": id }),
            Self::Tax(number) => json!({ "partner_tax_number": number }),
            Self::Email(address) => json!({ "partner_email": address }),
            Self::Name(name) => json!({ "partner_name": name }),
        }
    }
}

/// A partner as it was read, with its bytes.
#[derive(Debug, Clone)]
pub struct Read {
    /// What it says.
    pub partner: Partner,
    /// The element as sent.
    pub bytes: Vec<u8>,
}

/// The ids `add_partner` answers with.
pub type Created = MkId;

/// Metakocka, for one run.
pub struct Client<'a> {
    powers: Powers<'a>,
    retry: Retry,
    calls: Cell<u64>,
    chance: RefCell<IdMaker>,
    /// Whether this session has seen a good answer: only then an unknown refusal of a look-up may mean "none".
    proven: Cell<bool>,
}

impl<'a> Client<'a> {
    /// A client that counts its calls from zero.
    #[must_use]
    pub fn new(powers: Powers<'a>, retry: Retry) -> Self {
        let chance = RefCell::new(IdMaker::new(powers.clock.random_seed()));
        Self { powers, retry, calls: Cell::new(0), chance, proven: Cell::new(false) }
    }

    /// Calls made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// Asks for the warehouses: the cheapest call that proves address and credentials (`warehouse_list.md`). Returns
    /// how many there are.
    ///
    /// # Errors
    ///
    /// Any refusal here means credentials or rights.
    pub async fn probe(&self) -> Result<usize, CallError> {
        let body = self.read(path::WAREHOUSE_LIST, &json!({})).await?;
        let (warehouses, envelope) = read_all("warehouse_list", &body).map_err(protocol)?;
        if let Some(refusal) = envelope.refusal() {
            return Err(refused_connection(&refusal));
        }
        self.proven.set(true);
        Ok(warehouses.len())
    }

    /// The partners a key finds, as sent; checking that they really match is the caller's part.
    ///
    /// # Errors
    ///
    /// Never for "none": that is an empty list.
    pub async fn partners(&self, key: &PartnerKey) -> Result<Vec<Read>, CallError> {
        let body = self.read(path::GET_PARTNER, &key.body()).await?;
        self.partner_list(&body).await
    }

    async fn partner_list(&self, body: &[u8]) -> Result<Vec<Read>, CallError> {
        let (elements, envelope) = read_all(PARTNER_LIST, body).map_err(protocol)?;
        if let Some(refusal) = envelope.refusal() {
            return self.none_or_refused(refusal).await;
        }
        self.proven.set(true);
        elements
            .into_iter()
            .map(|bytes| Partner::read(&bytes).map(|partner| Read { partner, bytes }))
            .collect::<Result<_, Problem>>()
            .map_err(|problem| CallError::Unavailable(problem.reason))
    }

    /// Zero matches are a refusal with `opr_code` 2 (`get_partner.md`). In a language we do not know it counts only
    /// when the same session has shown that credentials and rights are good.
    async fn none_or_refused(&self, refusal: Refusal) -> Result<Vec<Read>, CallError> {
        match refusal.kind {
            RefusalKind::NotFound => Ok(Vec::new()),
            RefusalKind::Business if refusal.code.trim() == "2" => {
                if !self.proven.get() {
                    self.probe().await?;
                }
                Ok(Vec::new())
            }
            RefusalKind::Internal => Err(CallError::Refused(refusal)),
            // A look-up names nothing that could be wrong with a record: the next one would be refused too.
            _ => Err(refused_connection(&refusal)),
        }
    }

    /// Every partner of the company, in one answer to be read in pieces (`get_partner.md` without a key). `survey` goes
    /// through the answer before anything is done with it; an answer it finds broken is asked for again.
    ///
    /// # Errors
    ///
    /// When no usable answer came.
    pub async fn scan_partners<T>(
        &self,
        survey: impl AsyncFn(&Response) -> Result<T, CallError>,
    ) -> Result<(Response, T), CallError> {
        let scanned = self
            .retrying(path::GET_PARTNER, async || {
                let response =
                    self.judged(path::GET_PARTNER, &json!({}), Lane::Scan, SCAN_TIMEOUT_MS).await?;
                let found = survey(&response).await?;
                Ok((response, found))
            })
            .await?;
        self.proven.set(true);
        Ok(scanned)
    }

    /// Creates a partner. Sent once, never again.
    pub async fn add_partner(&self, body: &Value) -> Result<Created, WriteOutcome> {
        match self.write(path::ADD_PARTNER, body).await {
            WriteOutcome::Done(answer) => Envelope::parse(&answer)
                .and_then(|envelope| envelope.text("mk_id"))
                .map(|id| MkId(id.trim().to_owned()))
                .filter(|id| !id.0.is_empty())
                .ok_or_else(|| WriteOutcome::Unknown("the answer holds no mk_id".to_owned())),
            other => Err(other),
        }
    }

    /// Changes a partner; the answer is the partner as it is now. Sent once.
    pub async fn update_partner(&self, body: &Value) -> Result<Read, WriteOutcome> {
        match self.write(path::UPDATE_PARTNER, body).await {
            WriteOutcome::Done(answer) => {
                let list =
                    read_all(PARTNER_LIST, &answer).ok().map(|(elements, _)| elements).unwrap_or_default();
                list.into_iter()
                    .next()
                    .and_then(|bytes| Partner::read(&bytes).ok().map(|partner| Read { partner, bytes }))
                    .ok_or_else(|| WriteOutcome::Unknown("the answer holds no partner".to_owned()))
            }
            other => Err(other),
        }
    }

    /// The body of a point read.
    async fn read(&self, path: &'static str, body: &Value) -> Result<Vec<u8>, CallError> {
        self.retrying(path, async || {
            let response = self.judged(path, body, Lane::Point, READ_TIMEOUT_MS).await?;
            let bytes = whole(&*response.body).await.map_err(|error| Failure::from(transport(&error)))?;
            match Envelope::parse(&bytes).map(|envelope| envelope.refusal()) {
                None => Err(Failure::from(CallError::Unavailable(not_json(&bytes)))),
                Some(Some(refusal)) if refusal.kind == RefusalKind::Internal => {
                    Err(Failure::from(CallError::Refused(refusal)))
                }
                Some(_) => Ok(bytes),
            }
        })
        .await
    }

    /// One request whose HTTP status is good.
    async fn judged(
        &self,
        path: &'static str,
        body: &Value,
        lane: Lane,
        timeout_ms: u32,
    ) -> Result<Response, Failure> {
        let response = self
            .send(path, body, lane, timeout_ms)
            .await
            .map_err(|error| Failure::from(transport(&error)))?;
        match judge(response.status) {
            None => Ok(response),
            Some(error) => Err(Failure { error, wish: response.retry_after_ms }),
        }
    }

    /// Reads are tried again after failures of transport and internal errors, because reading twice changes nothing.
    async fn retrying<T>(
        &self,
        path: &str,
        once: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<T, CallError> {
        let mut attempt = 0;
        loop {
            let Failure { error, wish } = match once().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            attempt += 1;
            let passing = matches!(error, CallError::Unavailable(_))
                || matches!(&error, CallError::Refused(refusal) if refusal.kind == RefusalKind::Internal);
            if attempt > self.retry.max_retries || !passing {
                return Err(error);
            }
            let chance = self.chance.borrow_mut().random();
            let delay = self.retry.delay(attempt, wish, chance);
            self.powers.log.log(
                Level::Info,
                Category::Api,
                "a read failed and is tried again",
                &[
                    ("path", path),
                    ("attempt", &attempt.to_string()),
                    ("max_retries", &self.retry.max_retries.to_string()),
                    ("delay_ms", &delay.to_string()),
                    ("error", &error.to_string()),
                ],
            );
            self.powers.clock.sleep(delay).await;
        }
    }

    /// One write, sent once.
    async fn write(&self, path: &'static str, body: &Value) -> WriteOutcome {
        let response = match self.send(path, body, Lane::Point, WRITE_TIMEOUT_MS).await {
            Ok(response) => response,
            Err(error) if !error.may_have_arrived => return WriteOutcome::NotSent(transport(&error)),
            Err(error) => return WriteOutcome::Unknown(error.message),
        };
        if let Some(failure) = judge(response.status) {
            return match failure {
                // The path is wrong, so nothing behind it can have run.
                CallError::Configuration(_) => WriteOutcome::NotSent(failure),
                other => WriteOutcome::Unknown(other.to_string()),
            };
        }
        let bytes = match whole(&*response.body).await {
            Ok(bytes) => bytes,
            Err(error) => return WriteOutcome::Unknown(error.message),
        };
        let Some(envelope) = Envelope::parse(&bytes) else { return WriteOutcome::Unknown(not_json(&bytes)) };
        match envelope.refusal() {
            None => WriteOutcome::Done(bytes),
            Some(refusal) if refusal.kind == RefusalKind::Internal => {
                WriteOutcome::Unknown(refusal.to_string())
            }
            Some(refusal) => WriteOutcome::Refused(refusal),
        }
    }

    async fn send(
        &self,
        path: &'static str,
        body: &Value,
        lane: Lane,
        timeout_ms: u32,
    ) -> Result<Response, HttpError> {
        self.calls.set(self.calls.get() + 1);
        let body = body.to_string().into_bytes();
        self.powers.http.send(Request { path, body, lane, timeout_ms }).await
    }
}

/// A read that gave nothing, with the vendor's wish when to come back.
struct Failure {
    error: CallError,
    wish: Option<u64>,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self { error, wish: None }
    }
}

/// What an HTTP status says about the call; `None` when the body decides.
fn judge(status: u16) -> Option<CallError> {
    match status {
        200..=299 => None,
        404 | 405 => Some(CallError::Configuration(
            "Metakocka does not know this address: check the base URL of the connection (it ends in /rest/eshop/)"
                .to_owned(),
        )),
        429 => Some(CallError::Unavailable("HTTP 429: too many requests".to_owned())),
        500..=599 => Some(CallError::Unavailable(format!("HTTP {status}"))),
        _ => Some(CallError::Configuration(format!(
            "Metakocka answered HTTP {status}: check the base URL of the connection"
        ))),
    }
}

/// A refusal that is about the connection, not about a record.
#[must_use]
pub fn refused_connection(refusal: &Refusal) -> CallError {
    CallError::Configuration(format!("{refusal} - check company_id and secret key and connect again"))
}

/// An error of transport as an error of the call.
pub fn transport(error: &HttpError) -> CallError {
    match error.kind {
        HttpErrorKind::UnknownConnection => CallError::Configuration(
            "this tenant is not connected to Metakocka: run `host-harness connect` first".to_owned(),
        ),
        HttpErrorKind::RefusedByPolicy => CallError::Configuration(error.message.clone()),
        HttpErrorKind::OutOfBudget => CallError::OutOfBudget,
        HttpErrorKind::Unavailable | HttpErrorKind::TimedOut | HttpErrorKind::TooLarge => {
            CallError::Unavailable(error.message.clone())
        }
    }
}

fn not_json(bytes: &[u8]) -> String {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<') {
        "a web page was answered instead of JSON: a proxy, a login or a maintenance page".to_owned()
    } else {
        "the answer is not the JSON it should be".to_owned()
    }
}

/// An answer that cannot be taken apart counts as a passing failure of transport.
pub fn protocol(error: ListError) -> CallError {
    CallError::Unavailable(error.to_string())
}

/// All bytes of a point answer.
async fn whole(body: &dyn crate::ports::Body) -> Result<Vec<u8>, HttpError> {
    let mut bytes = body.read(PIECE).await?;
    loop {
        let piece = body.read(PIECE).await?;
        if piece.is_empty() {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&piece);
    }
}
