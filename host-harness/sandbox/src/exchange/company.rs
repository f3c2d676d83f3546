//! The company at work: a call and its verdict become an answer.

use super::{Call, Plan, Settings};
use crate::answer::{Reply, warehouse_list};
use crate::body::Body;
use crate::distort;
use crate::endpoint::Endpoint;
use crate::fault::{Fault, Faults, Script, Side, Verdict};
use crate::journal::{Journal, Note};
use crate::refusal::Refusal;
use crate::register::Register;
use crate::seed;
use crate::switches::{Switch, Switches};
use serde_json::{Map, Value};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Company {
    pub(super) settings: Settings,
    pub(super) switches: Switches,
    pub(super) register: Register,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    /// Moves with every reset, so that a late commit does not land in the company after it.
    pub(super) epoch: u64,
}

/// The answer of a call that went well.
pub(super) struct Done {
    pub(super) body: Arc<Body>,
    /// The partner, when a read answered exactly one.
    pub(super) read: Option<u32>,
}

impl Company {
    pub(super) fn new(settings: Settings, switches: Switches) -> Self {
        let addressless = switches.turned(Switch::AddresslessPartners);
        let register = seed::register(settings.seed, settings.partners, addressless);
        let (faults, journal) = (Faults::default(), Journal::default());
        Self { settings, switches, register, faults, journal, epoch: 0 }
    }

    /// Answers a request, as its verdict wants it, and writes it down.
    pub(super) fn conclude(&mut self, call: &Call, verdict: &Verdict) -> Plan {
        let plan = self.plan(call, verdict);
        match &plan {
            Plan::Drop => self.note(call, 0, None),
            Plan::Answer(reply) => self.note(call, reply.status, Some((&reply.body, reply.sent))),
        }
        plan
    }

    pub(super) fn note(&mut self, call: &Call, status: u16, response: Option<(&Arc<Body>, usize)>) {
        let write = call.writes(&self.switches);
        let (path, request, in_flight) = (&*call.path, &call.body, call.in_flight);
        self.journal.note(Note { path, write, in_flight, request, status, response });
    }

    fn plan(&mut self, call: &Call, verdict: &Verdict) -> Plan {
        let mut reply = match &verdict.ending {
            Some((Fault::DropBefore, _)) => return Plan::Drop,
            Some((fault, script)) => match self.instead(*fault, script, call) {
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
        if verdict.has(Fault::ByteOrderMark) {
            reply = reply.marked();
        }
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
        reply
    }

    /// Does what the call asks and answers as the vendor does.
    pub(super) fn carry_out(&mut self, call: &Call, verdict: &Verdict) -> Reply {
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
}
