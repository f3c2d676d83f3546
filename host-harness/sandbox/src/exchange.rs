//! From a request to its answer: the one place where calls, faults, the register and the journal meet.

use crate::answer::{Reply, WAREHOUSES, added, partner_list, warehouse_list};
use crate::body::Body;
use crate::distort::{self, Unreadable};
use crate::endpoint::{self, Endpoint};
use crate::fault::{self, Count, Fault, Faults, Scope, Script, Side, Verdict, Whom};
use crate::journal::{Journal, Note, Secret};
use crate::object::Object;
use crate::partner::{Partner, plain};
use crate::refusal::Refusal;
use crate::register::{Key, Origin, Register, sprinkle_unknown_keys};
use crate::seed;
use crate::switches::{Switch, SwitchError, Switches};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A company at work, without a socket: tests in the same process look into it and change it through this.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    secret: Secret,
    company: Mutex<Company>,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
}

/// What does not change while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) company_id: String,
    pub(crate) secret_key: String,
    pub(crate) seed: u64,
    pub(crate) partners: usize,
    pub(crate) latency: Duration,
    /// As they are at the start.
    pub(crate) switches: Switches,
}

#[derive(Debug)]
struct Company {
    settings: Settings,
    switches: Switches,
    register: Register,
    faults: Faults,
    journal: Journal,
    /// Moves with every reset, so that a late commit does not land in the company after it.
    epoch: u64,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) post: bool,
    pub(crate) path: String,
    pub(crate) body: Bytes,
    pub(crate) in_flight: usize,
}

impl Call {
    /// Whether it changes something when it is carried out.
    fn writes(&self, switches: &Switches) -> bool {
        self.post && Endpoint::at(&self.path, switches).is_some_and(Endpoint::writes)
    }
}

/// How a request ends.
#[derive(Debug)]
pub(crate) enum Plan {
    /// The connection closes without a byte.
    Drop,
    /// An answer.
    Answer(Reply),
}

/// Why an edit was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The edit makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// There is no such record.
    #[error("there is no {kind} with mk_id {mk_id}")]
    NotFound {
        /// What was looked for.
        kind: String,
        /// The id that is not there.
        mk_id: String,
    },
}

/// Why fault rules were refused; the rules before stay in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

/// A person's edit as it is posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    op: String,
    kind: String,
    mk_id: Option<Value>,
    fields: Option<Map<String, Value>>,
}

impl Sandbox {
    pub(crate) fn new(settings: Settings) -> Self {
        let company = Mutex::new(Company::new(settings.clone(), settings.switches));
        let (in_flight, in_flight_max) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let secret = Secret::new(&settings.secret_key);
        Self(Arc::new(Shared { settings, secret, company, in_flight, in_flight_max }))
    }

    /// The whole state as `GET /state` shows it.
    #[must_use]
    pub fn state(&self) -> Value {
        let body = self.state_body();
        serde_json::from_slice(&body.read(body.len())).unwrap_or_default()
    }

    /// The requests after number `since` as `GET /requests` shows them.
    #[must_use]
    pub fn requests(&self, since: u64) -> Vec<Value> {
        let entries = self.company().journal.since(since);
        entries.iter().map(|entry| entry.to_json(&self.0.secret)).collect()
    }

    /// A person's edit as `POST /edit` takes it; answers the record as it is then.
    ///
    /// # Errors
    /// [`EditError`] when the edit makes no sense or its record does not exist; nothing has changed then.
    pub fn edit(&self, posted: &Value) -> Result<Value, EditError> {
        let edit = Edit::deserialize(posted).map_err(|error| EditError::Malformed(error.to_string()))?;
        self.company().edit(edit)
    }

    /// Puts these rules in force instead of the ones before, as `POST /faults` does; answers how many.
    ///
    /// # Errors
    /// [`FaultError`] when a rule cannot be understood; the rules before stay in force.
    pub fn faults(&self, posted: &Value) -> Result<usize, FaultError> {
        let faults = Faults::parse(posted, &endpoint::names(), self.0.settings.seed).map_err(FaultError)?;
        let count = faults.len();
        self.company().faults = faults;
        Ok(count)
    }

    /// Every fault with its meaning, as `GET /faults` shows them.
    #[must_use]
    pub fn fault_meanings() -> Value {
        fault::meanings()
    }

    /// The most vendor requests that were in flight at once.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        self.0.in_flight_max.load(Ordering::Relaxed)
    }

    /// How the unsettled points are taken now, as `GET /switches` shows them.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.company().switches
    }

    /// Takes unsettled points otherwise, as `POST /switches` does; answers all of them.
    ///
    /// # Errors
    /// [`SwitchError`] when one cannot be set; none is then.
    pub fn set_switches(&self, posted: &Value) -> Result<Switches, SwitchError> {
        let mut company = self.company();
        company.switches.set_all(posted)?;
        company.register.forget_scan();
        Ok(company.switches)
    }

    /// Back to the seed: partners, numbers, rules and the log of requests are as after the start. Switches stay as they
    /// are.
    pub fn reset(&self) {
        let mut fresh = Company::new(self.0.settings.clone(), self.switches());
        let mut company = self.company();
        fresh.epoch = company.epoch + 1;
        let before = std::mem::replace(&mut *company, fresh);
        drop(company);
        // Giving back a large company takes a while, in which nobody should have to wait.
        drop(before);
        self.0.in_flight_max.store(self.0.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn state_body(&self) -> Arc<Body> {
        let company = self.company();
        let rows: Vec<Bytes> = company
            .register
            .slots()
            .into_iter()
            .filter_map(|slot| company.register.bytes_with_discounts(slot))
            .collect();
        let duplicates = company.register.duplicates();
        drop(company);
        let in_flight_max = self.in_flight_max();
        let tail = format!(
            r#"],"products":[],"warehouses":{WAREHOUSES},"stock":[],"documents":[],"duplicates":{{"partners":{duplicates},"products":0,"documents":0}},"in_flight_max":{in_flight_max}}}"#
        );
        Body::list(r#"{"partners":["#, rows, tail)
    }

    /// The requests after number `since`, ready to be sent.
    pub(crate) fn requests_json(&self, since: u64) -> Vec<u8> {
        let entries = self.company().journal.since(since);
        let mut json = vec![b'['];
        for entry in &entries {
            if json.len() > 1 {
                json.push(b',');
            }
            json.extend(entry.to_json(&self.0.secret).to_string().into_bytes());
        }
        json.push(b']');
        json
    }

    /// Counts a request in; it counts out when the guard goes.
    pub(crate) fn arrive(&self) -> (usize, InFlight) {
        let now = self.0.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.in_flight_max.fetch_max(now, Ordering::Relaxed);
        (now, InFlight(self.clone()))
    }

    /// Carries a request out. Runs to its end also when nobody waits for the answer any more.
    pub(crate) async fn exchange(&self, call: Call) -> Plan {
        if !self.0.settings.latency.is_zero() {
            tokio::time::sleep(self.0.settings.latency).await;
        }
        let (verdict, epoch) = {
            let mut company = self.company();
            let writes = call.writes(&company.switches);
            let verdict = company.faults.on_arrival(endpoint::name_of(&call.path), writes, &call.body);
            (verdict, company.epoch)
        };
        match &verdict.ending {
            Some((Fault::LateCommit, script)) => {
                self.company().note(&call, 0, None);
                let (late, delay) = (self.clone(), script.delay(2000));
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let mut company = late.company();
                    if company.epoch == epoch {
                        // The caller is gone: whatever is answered, nobody reads it.
                        let _ = company.carry_out(&call, &verdict);
                    }
                });
                Plan::Drop
            }
            Some((Fault::SlowCommit, script)) => {
                tokio::time::sleep(script.delay(2000)).await;
                self.company().conclude(&call, &verdict)
            }
            _ => self.company().conclude(&call, &verdict),
        }
    }

    fn company(&self) -> MutexGuard<'_, Company> {
        // A panic while it was held cannot have left a partner half written: records are replaced whole.
        self.0.company.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being worked on.
#[derive(Debug)]
pub(crate) struct InFlight(Sandbox);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer of a call that went well.
struct Done {
    body: Arc<Body>,
    /// The partner, when a read answered exactly one.
    read: Option<u32>,
}

impl Company {
    fn new(settings: Settings, switches: Switches) -> Self {
        let addressless = switches.turned(Switch::AddresslessPartners);
        let register = seed::register(settings.seed, settings.partners, addressless);
        let (faults, journal) = (Faults::default(), Journal::default());
        Self { settings, switches, register, faults, journal, epoch: 0 }
    }

    /// Answers a request, as its verdict wants it, and writes it down.
    fn conclude(&mut self, call: &Call, verdict: &Verdict) -> Plan {
        let plan = self.plan(call, verdict);
        match &plan {
            Plan::Drop => self.note(call, 0, None),
            Plan::Answer(reply) => self.note(call, reply.status, Some((&reply.body, reply.sent))),
        }
        plan
    }

    fn note(&mut self, call: &Call, status: u16, response: Option<(&Arc<Body>, usize)>) {
        let write = call.writes(&self.switches);
        let (path, request, in_flight) = (&*call.path, &call.body, call.in_flight);
        self.journal.note(Note { path, write, in_flight, request, status, response });
    }

    fn plan(&mut self, call: &Call, verdict: &Verdict) -> Plan {
        let mut reply = match &verdict.ending {
            Some((Fault::DropBefore, _)) => return Plan::Drop,
            Some((fault, script)) => match self.instead(*fault, script, call) {
                Some(reply) if verdict.has(Fault::ByteOrderMark) => reply.marked(),
                Some(reply) => reply,
                None => {
                    let reply = self.true_answer(call, verdict);
                    match self.afterwards(*fault, script, reply) {
                        Some(reply) => reply,
                        None => return Plan::Drop,
                    }
                }
            },
            None => self.true_answer(call, verdict),
        };
        if let Some(script) = verdict.manner(Fault::Delay) {
            reply.hold = script.delay(1000);
        }
        if let Some(script) = verdict.manner(Fault::SlowBytes) {
            reply.pace = Some((reply.sent.div_ceil(script.pieces()).max(1), script.delay(100)));
        }
        Plan::Answer(reply)
    }

    /// The answer of a fault that strikes before anything is done; `None` when the call is carried out.
    fn instead(&self, fault: Fault, script: &Script, call: &Call) -> Option<Reply> {
        let unavailable = |status| Reply::page(status).retry_after(script.retry_after());
        let reply = match fault {
            Fault::HtmlPage => Reply::page(script.status(200)).retry_after(script.retry_after()),
            Fault::Html404 => Reply::page(404),
            Fault::Http500 => unavailable(500),
            Fault::Http502 => unavailable(502),
            Fault::Http503 => unavailable(503),
            Fault::Http429 => unavailable(429),
            Fault::Opr1WithoutCommit => Reply::scripted(script, &Refusal::Internal),
            Fault::InternalError if !script.committed(false) => {
                Reply::scripted(script, &Refusal::UnknownInternal)
            }
            Fault::ApplicationError => Reply::application_error(script),
            Fault::QuotaExceeded => Reply::scripted(script, &Refusal::Quota),
            Fault::AddressNotAllowed => {
                let (address, company_id) = (script.address().to_owned(), self.settings.company_id.clone());
                Reply::scripted(script, &Refusal::AddressNotAllowed { address, company_id })
            }
            Fault::EmptyObject | Fault::NoList if !script.committed(false) => {
                Reply::silent(fault == Fault::EmptyObject)
            }
            Fault::BadMkId if !script.committed(true) => Reply::only_mk_id(script.value()),
            Fault::BadCredentials => {
                Reply { status: script.status(200), ..Reply::scripted(script, &Refusal::Credentials) }
            }
            Fault::EchoSecret => Reply::echo(script.form("both"), &call.body),
            _ => return None,
        };
        Some(reply)
    }

    /// What a fault makes of the true answer; `None` drops the connection.
    fn afterwards(&self, fault: Fault, script: &Script, reply: Reply) -> Option<Reply> {
        let part = (reply.sent * 3 / 5).max(1);
        match fault {
            Fault::CommitThenDrop => None,
            Fault::HtmlPageAfterCommit => Some(Reply::page(script.status(200))),
            Fault::Http502AfterCommit => Some(Reply::page(502)),
            Fault::Opr1AfterCommit => Some(Reply::scripted(script, &Refusal::Internal)),
            Fault::InternalError => Some(Reply::scripted(script, &Refusal::UnknownInternal)),
            Fault::EmptyObject | Fault::NoList => Some(Reply::silent(fault == Fault::EmptyObject)),
            Fault::BadMkId => Some(reply.rewritten(|json| distort::with_mk_id(json, script.value()))),
            Fault::TruncatedJson => Some(Reply { announced: part, sent: part, ..reply }),
            Fault::CutBody => Some(Reply { sent: part, ..reply }),
            _ => Some(reply),
        }
    }

    /// Carries the request out, as far as its members reach us, and answers with the members that are let out.
    fn true_answer(&mut self, call: &Call, verdict: &Verdict) -> Reply {
        let dropped = |side| {
            let rules = verdict.manners(Fault::DropMembers).filter(move |script| script.side() == side);
            rules.flat_map(Script::members).cloned().collect::<Vec<_>>()
        };
        let unsent = dropped(Side::Request);
        let mut reply = if unsent.is_empty() {
            self.carry_out(call, verdict)
        } else {
            let body = distort::without_members(&call.body, &unsent);
            self.carry_out(&Call { body, ..call.clone() }, verdict)
        };
        let unsaid = dropped(Side::Answer);
        if !unsaid.is_empty() {
            reply = reply.rewritten(|json| distort::without_members(json, &unsaid));
        }
        if verdict.has(Fault::ByteOrderMark) { reply.marked() } else { reply }
    }

    /// Does what the call asks and answers as the vendor does.
    fn carry_out(&mut self, call: &Call, verdict: &Verdict) -> Reply {
        let Some(endpoint) = Endpoint::at(&call.path, &self.switches).filter(|_| call.post) else {
            return Reply::page(404);
        };
        match self.call(endpoint, &call.body, verdict) {
            Ok(done) => {
                if let Some(slot) = done.read {
                    self.people_after_read(slot, call);
                }
                Reply::json(done.body)
            }
            Err(refusal) => {
                let slovenian = self.switches.turned(Switch::Language) || verdict.has(Fault::Slovenian);
                Reply::failure(refusal.code(), &refusal.text(slovenian))
            }
        }
    }

    fn call(&mut self, endpoint: Endpoint, body: &[u8], verdict: &Verdict) -> Result<Done, Refusal> {
        let Ok(Value::Object(request)) = serde_json::from_slice(body) else { return Err(Refusal::Internal) };
        self.check_credentials(&request)?;
        let partner = || request.get("partner").and_then(Value::as_object).ok_or(Refusal::PartnerMissing);
        match endpoint {
            Endpoint::GetPartner => self.get_partner(&request, verdict),
            Endpoint::AddPartner => self.add_partner(partner()?),
            Endpoint::UpdatePartner => self.update_partner(partner()?, verdict),
            Endpoint::WarehouseList => Ok(Done { body: warehouse_list(), read: None }),
        }
    }

    fn check_credentials(&self, request: &Map<String, Value>) -> Result<(), Refusal> {
        let company = match request.get("company_id") {
            Some(Value::Number(number)) => number.to_string(),
            other => other.and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        let secret = request.get("secret_key").and_then(Value::as_str).unwrap_or_default();
        let known = company == self.settings.company_id && secret == self.settings.secret_key;
        if known { Ok(()) } else { Err(Refusal::Credentials) }
    }

    /// One key is honoured; without any, or with an empty one, every partner is meant.
    fn get_partner(&mut self, request: &Map<String, Value>, verdict: &Verdict) -> Result<Done, Refusal> {
        const KEYS: [(&str, Option<Key>); 5] = [
            ("partner_id", None),
            ("partner_tax_number", Some(Key::Tax)),
            ("partner_email", Some(Key::Email)),
            ("partner_phone_number", Some(Key::Phone)),
            ("partner_name", Some(Key::Name)),
        ];
        let mut asked = None;
        for (name, key) in KEYS {
            if let Some(value) = plain(name, request.get(name))? {
                asked = asked.or(Some((key, value)));
            }
        }
        let discounts =
            plain("show_partner_discount", request.get("show_partner_discount"))?.as_deref() == Some("true");
        let window = self.window(request, verdict)?;
        if asked.is_none() && !discounts && window.is_none() && !verdict.changes_rows() {
            if self.register.len() == 0 {
                return Err(Refusal::NoPartner);
            }
            if self.register.len() > 1 {
                let switches = self.switches;
                let body = self.register.cached_scan(|register| {
                    let slots = register.slots();
                    partner_list(register.rows(&slots, false), slots.len(), &switches, false)
                });
                return Ok(Done { body, read: None });
            }
        }
        let list = asked.is_none();
        let mut slots = match asked {
            None => self.register.slots(),
            Some((None, id)) => self.register.by_id(&id).into_iter().collect(),
            Some((Some(key), text)) => self.register.search(key, &text, &self.switches),
        };
        let hidden_but_counted = self.hide(&mut slots, list, verdict);
        if slots.is_empty() {
            return Err(Refusal::NoPartner);
        }
        if let Some((offset, limit)) = window {
            slots = slots.into_iter().skip(offset).take(limit).collect();
        }
        let single = self.switches.turned(Switch::PartnerListOfOne) || verdict.has(Fault::SingleObject);
        let mut rows = self.register.rows(&slots, discounts);
        let announced = self.distort_rows(&slots, &mut rows, verdict) + hidden_but_counted;
        let body = partner_list(rows, announced, &self.switches, single);
        let read = match *slots {
            [slot] => Some(slot),
            _ => None,
        };
        Ok(Done { body, read })
    }

    /// Takes the partners away that rules hide; answers how many of them are to be counted all the same.
    fn hide(&self, slots: &mut Vec<u32>, list: bool, verdict: &Verdict) -> usize {
        let mut counted = 0;
        for script in verdict.manners(Fault::Hide) {
            if script.scope() == Scope::Everything || list {
                let before = slots.len();
                slots.retain(|slot| !self.is_meant(script, *slot));
                if script.count() == Count::All {
                    counted += before - slots.len();
                }
            }
        }
        counted
    }

    /// Whether the partner in this slot is the one a rule names.
    fn is_meant(&self, script: &Script, slot: u32) -> bool {
        match script.whom() {
            None => false,
            Some(Whom::Id(id)) => self.register.by_id(id) == Some(slot),
            Some(Whom::Field(field, value)) => {
                self.register.partner(slot).is_some_and(|partner| partner.0.says(field, value))
            }
        }
    }

    /// What rules make of the rows of an answer; answers how many are announced.
    fn distort_rows(&self, slots: &[u32], rows: &mut Vec<Bytes>, verdict: &Verdict) -> usize {
        let meant = |script: &Script| {
            let named = |slot: &u32| script.whom().is_none() || self.is_meant(script, *slot);
            slots.iter().position(named)
        };
        for script in verdict.manners(Fault::Repeat) {
            if let Some(row) = meant(script).and_then(|at| rows.get(at)) {
                let again = match (script.fields(), serde_json::from_slice::<Map<_, _>>(row)) {
                    (Some(fields), Ok(mut partner)) => {
                        partner.extend(fields.clone());
                        Value::from(partner).to_string().into()
                    }
                    _ => row.clone(),
                };
                rows.push(again);
            }
        }
        for script in verdict.manners(Fault::UnreadableElement) {
            let form = Unreadable::named(script.form("no-mk-id"));
            if let (Some(form), Some(row)) = (form, meant(script).and_then(|at| rows.get_mut(at))) {
                *row = form.row(row);
            }
        }
        let announced = rows.len();
        let unsent = verdict.manner(Fault::CountMismatch).map_or(0, Script::rows);
        rows.truncate(announced.saturating_sub(unsent));
        announced
    }

    /// Offset and limit, when they are honoured and sent.
    fn window(
        &self,
        request: &Map<String, Value>,
        verdict: &Verdict,
    ) -> Result<Option<(usize, usize)>, Refusal> {
        if !(self.switches.turned(Switch::LimitAndOffset) || verdict.has(Fault::OffsetHonoured)) {
            return Ok(None);
        }
        let number = |name: &str| match plain(name, request.get(name))? {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| Refusal::InvalidChoice {
                field: name.to_owned(),
                value: text,
                valid: "whole number",
            }),
        };
        let (offset, limit) = (number("offset")?, number("limit")?);
        let sent = offset.is_some() || limit.is_some();
        Ok(sent.then(|| (offset.unwrap_or(0), limit.unwrap_or(usize::MAX))))
    }

    /// Never looks whether such a partner exists already: the same body twice is two partners.
    fn add_partner(&mut self, sent: &Map<String, Value>) -> Result<Done, Refusal> {
        let mut partner = Partner::added(sent, &mut self.register.numbers, &self.switches)?;
        sprinkle_unknown_keys(&mut partner, self.settings.seed);
        self.register.insert(&partner, None, Origin::Api);
        Ok(Done { body: added(&partner.0, &self.switches), read: None })
    }

    fn update_partner(&mut self, sent: &Map<String, Value>, verdict: &Verdict) -> Result<Done, Refusal> {
        let slot = match (plain("mk_id", sent.get("mk_id"))?, plain("count_code", sent.get("count_code"))?) {
            (Some(id), _) => self.register.by_id(&id).ok_or(Refusal::DoesNotExist {
                what: "Partner",
                by: "mk_id",
                value: id,
            }),
            (None, Some(code)) => self.register.by_count_code(&code).ok_or(Refusal::DoesNotExist {
                what: "Partner",
                by: "count_code",
                value: code,
            }),
            (None, None) => Err(Refusal::MustBeSet("mk_id")),
        }?;
        if let Some(value) = self.hidden_from_updates(slot, verdict) {
            return Err(Refusal::DoesNotExist { what: "Partner", by: "mk_id", value });
        }
        let mut partner = self.register.partner(slot).ok_or(Refusal::Internal)?;
        let top_level = self.switches.turned(Switch::TopLevelAddress) || verdict.has(Fault::AddressHonoured);
        partner.update(sent, &mut self.register.numbers, &self.switches, top_level)?;
        self.register.replace(slot, &partner, Origin::Api);
        let single = self.switches.turned(Switch::PartnerListOfOne) || verdict.has(Fault::SingleObject);
        let body = partner_list(self.register.rows(&[slot], false), 1, &self.switches, single);
        Ok(Done { body, read: None })
    }

    /// The id of a partner that a rule hides from everything.
    fn hidden_from_updates(&self, slot: u32, verdict: &Verdict) -> Option<String> {
        let mut everything =
            verdict.manners(Fault::Hide).filter(|script| script.scope() == Scope::Everything);
        everything.find(|script| self.is_meant(script, slot))?;
        Some(self.register.partner(slot)?.0.text("mk_id")?.to_owned())
    }

    /// What a person does between somebody's read and the write that follows from it.
    fn people_after_read(&mut self, slot: u32, call: &Call) {
        for (fault, script) in self.faults.after_read(endpoint::name_of(&call.path), &call.body) {
            if fault == Fault::UiDeleteBetween {
                self.register.remove(slot);
                continue;
            }
            let Some(mut partner) = self.register.partner(slot) else { return };
            let renamed = format!("{} (popravljeno)", partner.0.text("customer").unwrap_or_default());
            let default = Map::from_iter([("customer".to_owned(), Value::from(renamed))]);
            let fields = script.fields().unwrap_or(&default);
            if partner.edit(fields, &mut self.register.numbers).is_ok() {
                self.register.replace(slot, &partner, Origin::Edit);
            }
        }
    }

    fn edit(&mut self, edit: Edit) -> Result<Value, EditError> {
        let malformed = |why: &str| EditError::Malformed(why.to_owned());
        match edit.kind.as_str() {
            "partner" => {}
            "product" | "document" | "stock" => {
                return Err(EditError::Malformed(format!(
                    "kind {} is not in this build, only partner",
                    edit.kind
                )));
            }
            other => return Err(EditError::Malformed(format!("there is no kind `{other}`, only partner"))),
        }
        let id = plain("mk_id", edit.mk_id.as_ref()).map_err(|_| malformed("mk_id takes a text"))?;
        let find = |register: &Register| {
            let mk_id = id.clone().ok_or_else(|| malformed("mk_id is missing"))?;
            register.by_id(&mk_id).ok_or(EditError::NotFound { kind: edit.kind.clone(), mk_id })
        };
        let fields = || edit.fields.as_ref().ok_or_else(|| malformed("fields is missing"));
        let slot = match edit.op.as_str() {
            "create" => {
                if id.is_some() {
                    return Err(malformed("mk_id is given out, not chosen: leave it out of a create"));
                }
                let fields = fields()?;
                let mut partner = Partner(Object::default());
                partner.edit(fields, &mut self.register.numbers).map_err(EditError::Malformed)?;
                partner.number(&mut self.register.numbers);
                sprinkle_unknown_keys(&mut partner, self.settings.seed);
                self.register.insert(&partner, None, Origin::Edit)
            }
            "update" => {
                let slot = find(&self.register)?;
                let mut partner =
                    self.register.partner(slot).ok_or_else(|| malformed("the partner is gone"))?;
                partner.edit(fields()?, &mut self.register.numbers).map_err(EditError::Malformed)?;
                self.register.replace(slot, &partner, Origin::Edit);
                slot
            }
            "delete" => {
                self.register.remove(find(&self.register)?);
                return Ok(json!({"deleted": id}));
            }
            other => {
                return Err(EditError::Malformed(format!("op is create, update or delete, not `{other}`")));
            }
        };
        let bytes = self.register.bytes(slot).unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
