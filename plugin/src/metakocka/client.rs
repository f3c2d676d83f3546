//! Calls to Metakocka: families and paths, what an answer means, and the only place that tries a read again.

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};

use super::absence::{Absence, must_tell};
use super::elements::{ListError, ListReader, read_all};
use super::envelope::Envelope;
use super::outcome::{CallError, RefusalKind, WriteOutcome};
use super::partner::{Partner, Problem};
use super::words::clean;
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
/// Bytes of a scan asked for at once: small enough to stay in the processor's cache from the host to the splitter.
pub const SCAN_PIECE: u32 = 256 * 1024;
/// A longer wait than this, milliseconds, is not waited for: the run ends and says when to come back.
const PATIENCE_MS: u64 = 30_000;
/// The longest wait that is believed, milliseconds: a header may say anything.
const LONGEST_WISH_MS: u64 = 24 * 60 * 60 * 1_000;

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

/// How many partners an answer says that it holds (`get_partner.md`: `partner_list_count`).
#[must_use]
pub fn announced(envelope: &Envelope) -> Option<u64> {
    envelope.text("partner_list_count").and_then(|text| text.trim().parse().ok())
}

/// An answer that holds fewer partners than it says tells nothing about those it does not hold.
fn must_hold(envelope: &Envelope, elements: u64) -> Result<(), CallError> {
    match announced(envelope) {
        Some(announced) if announced > elements => Err(says_nothing()),
        _ => Ok(()),
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
    /// What an unknown refusal of a look-up means.
    pub(super) absence: Absence,
    /// Why nothing more is sent in this run: key, network address or quota were refused, or the other side wants to be
    /// left alone for longer than a run waits.
    closed: RefCell<Option<CallError>>,
}

impl<'a> Client<'a> {
    /// A client that counts its calls from zero.
    #[must_use]
    pub fn new(powers: Powers<'a>, retry: Retry) -> Self {
        let chance = RefCell::new(IdMaker::new(powers.clock.random_seed()));
        Self {
            powers,
            retry,
            calls: Cell::new(0),
            chance,
            absence: Absence::default(),
            closed: RefCell::default(),
        }
    }

    /// Calls made so far: what left the host. A request that was held back there is none.
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
            return Err(CallError::refused(refusal));
        }
        if !envelope.has_list() {
            return Err(says_nothing());
        }
        Ok(warehouses.len())
    }

    /// The partners a key finds, as sent; checking that they really match is the caller's part.
    ///
    /// # Errors
    ///
    /// Never for "none": that is an empty list.
    pub async fn partners(&self, key: &PartnerKey) -> Result<Vec<Read>, CallError> {
        let body = self.read(path::GET_PARTNER, &key.body()).await?;
        let (elements, envelope) = read_all(PARTNER_LIST, &body).map_err(protocol)?;
        must_tell(self, &envelope, Some(key)).await?;
        must_hold(&envelope, elements.len() as u64)?;
        elements
            .into_iter()
            .map(|bytes| Partner::read(&bytes).map(|partner| Read { partner, bytes }))
            .collect::<Result<_, Problem>>()
            .map_err(|problem| CallError::Record(problem.reason))
    }

    /// The partners an answer holds, whatever else it says: for finding out what its words mean.
    pub(super) async fn asked_plainly(&self, key: &PartnerKey) -> Result<Vec<Read>, CallError> {
        let body = self.read(path::GET_PARTNER, &key.body()).await?;
        let (elements, _) = read_all(PARTNER_LIST, &body).map_err(protocol)?;
        let reads = elements.into_iter().filter_map(|bytes| {
            let partner = Partner::read(&bytes).ok()?;
            Some(Read { partner, bytes })
        });
        Ok(reads.collect())
    }

    /// The first partner of the list that gives an answer.
    pub(super) async fn first_of_list<T>(
        &self,
        of: impl Fn(&Read) -> Option<T>,
    ) -> Result<Option<T>, CallError> {
        let survey = async |response: &Response| {
            let mut first = None;
            let visit = |element: &[u8]| {
                if first.is_none()
                    && let Ok(partner) = Partner::read(element)
                {
                    first = of(&Read { partner, bytes: element.to_vec() });
                }
            };
            self.each_partner(response, visit).await?;
            Ok(first)
        };
        Ok(self.scan_partners(survey).await?.1)
    }

    /// Names a partner that is linked, so that it should be there.
    pub fn knows(&self, id: MkId) {
        self.absence.knows(id);
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
        self.retrying(path::GET_PARTNER, async || {
            let response = self.judged(path::GET_PARTNER, &json!({}), Lane::Scan, SCAN_TIMEOUT_MS).await?;
            let found = survey(&response).await?;
            Ok((response, found))
        })
        .await
    }

    /// Goes through the elements of a scan's answer, from its first byte, and checks that it tells which partners there are.
    /// A company without partners answers as if nothing was found.
    ///
    /// # Errors
    ///
    /// When the answer is not a list to its end.
    pub async fn each_partner(
        &self,
        response: &Response,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<Envelope, CallError> {
        response.body.rewind();
        let mut reader = ListReader::new(PARTNER_LIST);
        let mut elements = 0_u64;
        loop {
            let piece = response.body.read(SCAN_PIECE).await.map_err(|error| transport(&error))?;
            if piece.is_empty() {
                break;
            }
            reader.feed(&piece);
            while let Some(element) = reader.next_element().map_err(protocol)? {
                elements += 1;
                visit(element);
            }
        }
        let envelope = reader.finish().map_err(protocol)?;
        must_tell(self, &envelope, None).await?;
        // A list that holds some of them tells at least of those.
        if elements == 0 {
            must_hold(&envelope, 0)?;
        }
        Ok(envelope)
    }

    /// Creates a partner. Sent once, never again.
    pub async fn add_partner(&self, body: &Value) -> Result<Created, WriteOutcome> {
        match self.write(path::ADD_PARTNER, body).await {
            WriteOutcome::Done(answer) => Envelope::parse(&answer)
                .and_then(|envelope| envelope.text("mk_id"))
                .map(|id| MkId(id.trim().to_owned()))
                .filter(is_possible)
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
                let asked = body.pointer("/partner/mk_id").and_then(Value::as_str);
                list.into_iter()
                    .filter_map(|bytes| Partner::read(&bytes).ok().map(|partner| Read { partner, bytes }))
                    .find(|read| asked == Some(read.partner.id.0.as_str()))
                    .ok_or_else(|| WriteOutcome::Unknown("the answer holds no partner".to_owned()))
            }
            other => Err(other),
        }
    }

    /// The body of a point read.
    async fn read(&self, path: &'static str, body: &Value) -> Result<Vec<u8>, CallError> {
        self.retrying(path, async || {
            let response = self.judged(path, body, Lane::Point, READ_TIMEOUT_MS).await?;
            let bytes = whole(&*response.body).await.map_err(|error| Failure::from(&error))?;
            match Envelope::parse(&bytes).map(|envelope| envelope.refusal()) {
                None => Err(Failure::from(not_json(&bytes))),
                Some(Some(refusal)) if refusal.kind.is_of_connection() || refusal.proves_nothing() => {
                    Err(Failure::from(CallError::refused(refusal)))
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
        let response = self.send(path, body, lane, timeout_ms).await?;
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
                Err(failure) => failure.impatient(),
            };
            attempt += 1;
            let passing = matches!(error, CallError::Unavailable(_) | CallError::Unreadable(_))
                || matches!(&error, CallError::Refused(refusal) if refusal.kind == RefusalKind::Internal);
            if attempt > self.retry.max_retries || !passing {
                self.close_after(&error);
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

    /// Sends nothing more when an error says that every other call would end like this one.
    fn close_after(&self, error: &CallError) {
        let ends = match error {
            CallError::Quota { retry_after_ms, .. } => {
                if self.closed.borrow().is_none() {
                    self.powers.http.hold_off(*retry_after_ms);
                }
                true
            }
            CallError::Later { .. } | CallError::Configuration(_) => true,
            _ => false,
        };
        if ends {
            self.closed.borrow_mut().get_or_insert_with(|| error.clone());
        }
    }

    /// One write, sent once.
    async fn write(&self, path: &'static str, body: &Value) -> WriteOutcome {
        let outcome = self.write_once(path, body).await;
        if let WriteOutcome::NotSent(error) = &outcome {
            self.close_after(error);
        }
        outcome
    }

    async fn write_once(&self, path: &'static str, body: &Value) -> WriteOutcome {
        let response = match self.send(path, body, Lane::Point, WRITE_TIMEOUT_MS).await {
            Ok(response) => response,
            Err(Failed { failure, may_have_arrived: false }) => {
                return WriteOutcome::NotSent(failure.impatient().error);
            }
            Err(Failed { failure, .. }) => return WriteOutcome::Unknown(failure.error.to_string()),
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
            Err(error) => return WriteOutcome::Unknown(clean(&error.message)),
        };
        let Some(envelope) = Envelope::parse(&bytes) else {
            return WriteOutcome::Unknown(not_json(&bytes).to_string());
        };
        match envelope.refusal() {
            None => WriteOutcome::Done(bytes),
            // Refused at the door, before the record was looked at.
            Some(refusal) if refusal.kind.is_of_connection() => {
                WriteOutcome::NotSent(CallError::refused(refusal))
            }
            Some(refusal) if refusal.proves_nothing() => WriteOutcome::Unknown(refusal.to_string()),
            Some(refusal) => WriteOutcome::Refused(refusal),
        }
    }

    async fn send(
        &self,
        path: &'static str,
        body: &Value,
        lane: Lane,
        timeout_ms: u32,
    ) -> Result<Response, Failed> {
        if let Some(error) = self.closed.borrow().clone() {
            return Err(Failed { failure: error.into(), may_have_arrived: false });
        }
        let body = body.to_string().into_bytes();
        let sent = self.powers.http.send(Request { path, body, lane, timeout_ms }).await;
        if sent.as_ref().map_or_else(|error| error.may_have_arrived, |_| true) {
            self.calls.set(self.calls.get() + 1);
        }
        sent.map_err(|error| Failed {
            failure: Failure::from(&error),
            may_have_arrived: error.may_have_arrived,
        })
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

impl From<&HttpError> for Failure {
    fn from(error: &HttpError) -> Self {
        Self { error: transport(error), wish: error.retry_after_ms }
    }
}

impl Failure {
    /// A wish that is longer than a run waits ends the run.
    fn impatient(self) -> Self {
        match (self.error, self.wish) {
            (CallError::Unavailable(reason), Some(wish)) if wish > PATIENCE_MS => {
                CallError::Later { reason, retry_after_ms: wish.min(LONGEST_WISH_MS) }.into()
            }
            (error, wish) => Self { error, wish },
        }
    }
}

/// A request without a complete answer.
struct Failed {
    failure: Failure,
    may_have_arrived: bool,
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        failed.failure
    }
}

/// Ids are positive numbers. Anything else as the answer to a create leaves it in doubt.
fn is_possible(id: &MkId) -> bool {
    id.0.bytes().all(|byte| byte.is_ascii_digit()) && id.0.bytes().any(|byte| byte != b'0')
}

/// HTTP 200 with neither a list nor a refusal.
pub(super) fn says_nothing() -> CallError {
    CallError::Unreadable("neither a list nor a reason why there is none".to_owned())
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

fn not_json(bytes: &[u8]) -> CallError {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<') {
        protocol(ListError::Markup)
    } else {
        CallError::Unreadable("the answer is not the JSON it should be".to_owned())
    }
}

/// An answer that cannot be taken apart is asked for again, like a failure of transport. A web page comes from something
/// in between or from maintenance; an answer that ends in the middle was broken off.
pub fn protocol(error: ListError) -> CallError {
    match error {
        ListError::Markup => CallError::Unavailable(
            "a web page was answered instead of JSON: a proxy, a login or a maintenance page".to_owned(),
        ),
        ListError::Truncated(_) => CallError::Unavailable(error.to_string()),
        ListError::Malformed(..) | ListError::TooLarge => CallError::Unreadable(error.to_string()),
    }
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
