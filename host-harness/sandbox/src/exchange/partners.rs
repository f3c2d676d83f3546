//! The partner calls, and what rules make of the partners in their answers.

use super::Call;
use super::company::{Company, Done};
use crate::answer::{added, partner_list};
use crate::distort::Unreadable;
use crate::endpoint;
use crate::fault::{Count, Fault, Scope, Script, Verdict, Whom};
use crate::partner::{Partner, plain};
use crate::refusal::Refusal;
use crate::register::{Key, Origin, sprinkle_unknown_keys};
use crate::switches::Switch;
use bytes::Bytes;
use serde_json::{Map, Value};

impl Company {
    /// One key is honoured; without any, or with an empty one, every partner is meant.
    pub(super) fn get_partner(
        &mut self,
        request: &Map<String, Value>,
        verdict: &Verdict,
    ) -> Result<Done, Refusal> {
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
    pub(super) fn add_partner(&mut self, sent: &Map<String, Value>) -> Result<Done, Refusal> {
        let mut partner = Partner::added(sent, &mut self.register.numbers, &self.switches)?;
        sprinkle_unknown_keys(&mut partner, self.settings.seed);
        self.register.insert(&partner, None, Origin::Api);
        Ok(Done { body: added(&partner.0, &self.switches), read: None })
    }

    pub(super) fn update_partner(
        &mut self,
        sent: &Map<String, Value>,
        verdict: &Verdict,
    ) -> Result<Done, Refusal> {
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
    pub(super) fn people_after_read(&mut self, slot: u32, call: &Call) {
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
}
