//! One partner: what the vendor's calls and a person at the vendor's screens do to it.

use crate::country;
use crate::keys;
use crate::object::{Node, Object};
use crate::refusal::Refusal;
use crate::switches::{Switch, Switches};
use serde_json::{Map, Value};

/// A partner in the shape `get_partner` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partner(pub(crate) Object);

/// The list of contact persons.
pub(crate) const CONTACTS: &str = "partner_contact_list";
/// The list of addresses; there is no address outside of it.
pub(crate) const ADDRESSES: &str = "partner_delivery_address_list";
/// The address type of the billing address.
pub(crate) const BILLING: &str = "Račun";

const ADDRESS_TYPES: [&str; 3] = [BILLING, "Dobava", "Poslovna enota"];
const ADDRESS_TYPES_TEXT: &str = "Račun,Dobava,Poslovna enota";

/// Key order of a partner, of a contact and of an address, as in the samples; the tax number has its place from the
/// partners inside of documents.
pub(crate) const PARTNER_ORDER: [&str; 12] = [
    "mk_id",
    "business_entity",
    "taxpayer",
    "foreign_county",
    "buyer",
    "supplier",
    "tax_id_number",
    "registration_number",
    "customer",
    "count_code",
    CONTACTS,
    ADDRESSES,
];
pub(crate) const CONTACT_ORDER: [&str; 8] =
    ["mk_id", "mk_address_id", "contact_address", "name", "phone", "fax", "gsm", "email"];
pub(crate) const ADDRESS_ORDER: [&str; 11] = [
    "mk_id",
    "address_type",
    "street",
    "post_number",
    "city",
    "province",
    "country",
    "payment_due_days",
    "language",
    "currency_id",
    "currency",
];

/// What a request may put into a field.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Text(usize),
    Country(usize),
    AddressType,
}

/// A field of a request: its name there, its name in the record, what it takes.
type Field = (&'static str, &'static str, Kind);

const PARTNER_FIELDS: [Field; 8] = [
    ("business_entity", "business_entity", Kind::Bool),
    ("taxpayer", "taxpayer", Kind::Bool),
    ("foreign_county", "foreign_county", Kind::Bool),
    ("buyer", "buyer", Kind::Bool),
    ("supplier", "supplier", Kind::Bool),
    ("tax_id_number", "tax_id_number", Kind::Text(50)),
    ("registration_number", "registration_number", Kind::Text(50)),
    ("customer", "customer", Kind::Text(100)),
];

/// The billing address, which a request writes at its top and with `place` where the record says `city`.
const TOP_ADDRESS_FIELDS: [Field; 5] = [
    ("street", "street", Kind::Text(150)),
    ("post_number", "post_number", Kind::Text(20)),
    ("place", "city", Kind::Text(100)),
    ("province", "province", Kind::Text(50)),
    ("country", "country", Kind::Country(50)),
];

/// Without these, the page says, a partner cannot be declared.
const REQUIRED_ADDRESS: [&str; 4] = ["street", "post_number", "place", "country"];

const ADDRESS_FIELDS: [Field; 6] = [
    ("address_type", "address_type", Kind::AddressType),
    ("street", "street", Kind::Text(150)),
    ("post_number", "post_number", Kind::Text(20)),
    ("city", "city", Kind::Text(100)),
    ("province", "province", Kind::Text(50)),
    ("country", "country", Kind::Country(50)),
];

/// The vendor's table calls the name `contact`, its samples `name`; both are taken.
const CONTACT_FIELDS: [Field; 6] = [
    ("contact", "name", Kind::Text(255)),
    ("name", "name", Kind::Text(255)),
    ("email", "email", Kind::Text(255)),
    ("gsm", "gsm", Kind::Text(255)),
    ("phone", "phone", Kind::Text(255)),
    ("fax", "fax", Kind::Text(255)),
];

/// Where new records get their numbers: one growing counter for the ids of every kind, as in the page samples, and
/// one for running numbers.
#[derive(Debug, Clone)]
pub(crate) struct Numbers {
    id: u64,
    count_code: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        // Twelve digits, as the vendor's own.
        Self { id: 400_070_000_000, count_code: 0 }
    }
}

impl Numbers {
    pub(crate) fn id(&mut self) -> String {
        self.id += 1;
        self.id.to_string()
    }

    pub(crate) fn count_code(&mut self) -> String {
        self.count_code += 1;
        self.count_code.to_string()
    }
}

/// The texts `get_partner` searches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SearchTexts {
    pub(crate) name: String,
    pub(crate) tax: String,
    /// All e-mails of all contacts, one a line.
    pub(crate) email: String,
    /// All phones and mobile phones of all contacts, one a line.
    pub(crate) phone: String,
}

impl Partner {
    /// The partner that `add_partner` makes of its `partner` object.
    pub(crate) fn added(
        sent: &Map<String, Value>,
        numbers: &mut Numbers,
        switches: &Switches,
    ) -> Result<Self, Refusal> {
        let mut partner = Object::default();
        fill(&mut partner, sent, &PARTNER_FIELDS, &PARTNER_ORDER, switches)?;
        if !partner.has("customer") {
            return Err(Refusal::Required("customer"));
        }
        let mut addresses = Self::added_addresses(sent, switches)?;
        let contact = nested(sent, "partner_contact")?
            .map(|row| {
                let mut contact = Object::default();
                fill(&mut contact, row, &CONTACT_FIELDS, &CONTACT_ORDER, switches)?;
                if boolean("useCustomerAsContact", row.get("useCustomerAsContact"))?.as_deref()
                    == Some("true")
                {
                    contact.set_text("name", partner.text("customer").unwrap_or_default(), &CONTACT_ORDER);
                }
                Ok(contact)
            })
            .transpose()?;
        // The partner first, its addresses, its contact: the order of the numbers in the page's sample.
        partner.set_text("mk_id", numbers.id(), &PARTNER_ORDER);
        partner.set_text("count_code", numbers.count_code(), &PARTNER_ORDER);
        for address in &mut addresses {
            address.set_text("mk_id", numbers.id(), &ADDRESS_ORDER);
            address.set_text("language", "Slovenski", &ADDRESS_ORDER);
        }
        if let Some(mut contact) = contact {
            contact.set_text("mk_id", numbers.id(), &CONTACT_ORDER);
            if let Some(id) = addresses.first().and_then(|address| address.text("mk_id")) {
                contact.set_text("mk_address_id", id, &CONTACT_ORDER);
            }
            partner.set(CONTACTS, Node::Rows(vec![contact]), &PARTNER_ORDER);
        }
        partner.set(ADDRESSES, Node::Rows(addresses), &PARTNER_ORDER);
        let mut partner = Partner(partner);
        partner.refresh_contact_addresses();
        Ok(partner)
    }

    /// The addresses of an `add_partner`, billing first, without numbers.
    fn added_addresses(sent: &Map<String, Value>, switches: &Switches) -> Result<Vec<Object>, Refusal> {
        if !switches.turned(Switch::AddressMembers) {
            for member in REQUIRED_ADDRESS {
                if plain(member, sent.get(member))?.is_none() {
                    return Err(Refusal::Required(member));
                }
            }
        }
        let mut addresses = Vec::new();
        let mut billing = Object::default();
        fill(&mut billing, sent, &TOP_ADDRESS_FIELDS, &ADDRESS_ORDER, switches)?;
        if billing != Object::default() {
            billing.set_text("address_type", BILLING, &ADDRESS_ORDER);
            addresses.push(billing);
        }
        if let Some(row) = nested(sent, "partner_delivery_address")? {
            let mut extra = Object::default();
            fill(&mut extra, row, &ADDRESS_FIELDS, &ADDRESS_ORDER, switches)?;
            if !extra.has("address_type") {
                extra.set_text("address_type", "Dobava", &ADDRESS_ORDER);
            }
            addresses.push(extra);
        }
        Ok(addresses)
    }

    /// Changes what `update_partner` was sent and nothing else. On a refusal the partner may be half changed:
    /// work on a copy.
    pub(crate) fn update(
        &mut self,
        sent: &Map<String, Value>,
        numbers: &mut Numbers,
        switches: &Switches,
        top_level_address: bool,
    ) -> Result<(), Refusal> {
        let cleared = switches.turned(Switch::EmptyValues);
        change(&mut self.0, sent, &PARTNER_FIELDS, &PARTNER_ORDER, switches, cleared)?;
        if !self.0.has("customer") {
            return Err(Refusal::Required("customer"));
        }
        if top_level_address {
            let mut billing = Object::default();
            fill(&mut billing, sent, &TOP_ADDRESS_FIELDS, &ADDRESS_ORDER, switches)?;
            if billing != Object::default() {
                let row = self.billing_row(numbers);
                fill(row, sent, &TOP_ADDRESS_FIELDS, &ADDRESS_ORDER, switches)?;
            }
        }
        for row in row_list(sent, ADDRESSES)? {
            self.update_address(row, numbers, switches)?;
        }
        for row in row_list(sent, CONTACTS)? {
            self.update_contact(row, numbers, switches)?;
        }
        if let Some(row) = nested(sent, "partner_contact")? {
            self.update_singular_contact(row, numbers, switches)?;
        }
        self.refresh_contact_addresses();
        Ok(())
    }

    fn update_address(
        &mut self,
        sent: &Map<String, Value>,
        numbers: &mut Numbers,
        switches: &Switches,
    ) -> Result<(), Refusal> {
        if let Some(id) = plain("mk_id", sent.get("mk_id"))? {
            let cleared = switches.turned(Switch::EmptyValues);
            let row = self.row(ADDRESSES, "Address", id)?;
            return change(row, sent, &ADDRESS_FIELDS, &ADDRESS_ORDER, switches, cleared);
        }
        let mut address = Object::default();
        fill(&mut address, sent, &ADDRESS_FIELDS, &ADDRESS_ORDER, switches)?;
        if !address.has("address_type") {
            address.set_text("address_type", "Dobava", &ADDRESS_ORDER);
        }
        address.set_text("mk_id", numbers.id(), &ADDRESS_ORDER);
        address.set_text("language", "Slovenski", &ADDRESS_ORDER);
        self.append(ADDRESSES, address);
        Ok(())
    }

    /// `partner_contact` is `add_partner`'s; the page of `update_partner` knows the list only.
    fn update_singular_contact(
        &mut self,
        sent: &Map<String, Value>,
        numbers: &mut Numbers,
        switches: &Switches,
    ) -> Result<(), Refusal> {
        match switches.value(Switch::SingularContact) {
            "honoured" => {}
            "ignored" => return Ok(()),
            _ => return Err(Refusal::ListOnly { sent: "partner_contact", list: CONTACTS }),
        }
        let mut sent = sent.clone();
        let first = self.0.rows(CONTACTS).first().and_then(|row| row.text("mk_id"));
        let address = self.billing().and_then(|row| row.text("mk_id"));
        for (name, id) in [("mk_id", first), ("mk_address_id", address)] {
            if let Some(id) = id {
                sent.entry(name).or_insert_with(|| Value::from(id));
            }
        }
        self.update_contact(&sent, numbers, switches)
    }

    fn update_contact(
        &mut self,
        sent: &Map<String, Value>,
        numbers: &mut Numbers,
        switches: &Switches,
    ) -> Result<(), Refusal> {
        let address = plain("mk_address_id", sent.get("mk_address_id"))?;
        if let Some(id) = &address {
            self.row(ADDRESSES, "Address", id.clone())?;
        }
        if let Some(id) = plain("mk_id", sent.get("mk_id"))? {
            let row = self.row(CONTACTS, "Contact", id)?;
            if let Some(address) = address {
                row.set_text("mk_address_id", address, &CONTACT_ORDER);
            }
            let cleared = switches.turned(Switch::EmptyValues);
            return change(row, sent, &CONTACT_FIELDS, &CONTACT_ORDER, switches, cleared);
        }
        let Some(address) = address else { return Err(Refusal::MustBeSet("mk_address_id")) };
        let mut contact = Object::default();
        fill(&mut contact, sent, &CONTACT_FIELDS, &CONTACT_ORDER, switches)?;
        contact.set_text("mk_id", numbers.id(), &CONTACT_ORDER);
        contact.set_text("mk_address_id", address, &CONTACT_ORDER);
        self.append(CONTACTS, contact);
        Ok(())
    }

    /// The row of a list with this id.
    fn row(&mut self, list: &str, what: &'static str, id: String) -> Result<&mut Object, Refusal> {
        self.0
            .rows_mut(list)
            .and_then(|rows| rows.iter_mut().find(|row| row.text("mk_id") == Some(&id)))
            .ok_or(Refusal::DoesNotExist { what, by: "mk_id", value: id })
    }

    fn append(&mut self, list: &str, row: Object) {
        match self.0.rows_mut(list) {
            Some(rows) => rows.push(row),
            None => self.0.set(list, Node::Rows(vec![row]), &PARTNER_ORDER),
        }
    }

    /// The billing address, made when there is none.
    fn billing_row(&mut self, numbers: &mut Numbers) -> &mut Object {
        let rows = self.0.rows(ADDRESSES);
        let found = rows.iter().position(|row| row.text("address_type") == Some(BILLING));
        let at = found.unwrap_or(rows.len());
        if found.is_none() {
            let mut row = Object::default();
            row.set_text("mk_id", numbers.id(), &ADDRESS_ORDER);
            row.set_text("address_type", BILLING, &ADDRESS_ORDER);
            row.set_text("language", "Slovenski", &ADDRESS_ORDER);
            self.append(ADDRESSES, row);
        }
        #[expect(clippy::expect_used, reason = "the row was found or appended just above")]
        self.0.rows_mut(ADDRESSES).and_then(|rows| rows.get_mut(at)).expect("a billing row")
    }

    /// What a person types into the vendor's screens: `null` or `""` clears a field, a list replaces the list.
    ///
    /// # Errors
    /// A sentence for the one who sent it; the partner may be half changed then: work on a copy.
    pub(crate) fn edit(&mut self, fields: &Map<String, Value>, numbers: &mut Numbers) -> Result<(), String> {
        for (key, value) in fields {
            match key.as_str() {
                "mk_id" => {
                    if self.0.text("mk_id").is_some_and(|id| value.as_str() != Some(id)) {
                        return Err("mk_id cannot be edited".to_owned());
                    }
                }
                ADDRESSES => {
                    let rows = self.edited_rows(ADDRESSES, value, &ADDRESS_ORDER, || numbers.id())?;
                    self.0.set(ADDRESSES, Node::Rows(rows), &PARTNER_ORDER);
                }
                // After the addresses, which the contacts name.
                CONTACTS => {}
                key => self.edit_field(key, value, numbers)?,
            }
        }
        if let Some(value) = fields.get(CONTACTS) {
            let mut rows = self.edited_rows(CONTACTS, value, &CONTACT_ORDER, || numbers.id())?;
            if let Some(address) = self.billing().and_then(|row| row.text("mk_id")) {
                for row in rows.iter_mut().filter(|row| !row.has("mk_address_id")) {
                    row.set_text("mk_address_id", address, &CONTACT_ORDER);
                }
            }
            self.0.set(CONTACTS, Node::Rows(rows), &PARTNER_ORDER);
        }
        if !self.0.has("customer") {
            return Err("a partner needs a name: set `customer`".to_owned());
        }
        self.refresh_contact_addresses();
        Ok(())
    }

    /// Gives a partner that a person made its ids.
    pub(crate) fn number(&mut self, numbers: &mut Numbers) {
        self.0.set_text("mk_id", numbers.id(), &PARTNER_ORDER);
        if !self.0.has("count_code") {
            self.0.set_text("count_code", numbers.count_code(), &PARTNER_ORDER);
        }
    }

    fn edit_field(&mut self, key: &str, value: &Value, numbers: &mut Numbers) -> Result<(), String> {
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => return Err(format!("`{key}` takes a plain value")),
        };
        if let Some((_, name, _)) = TOP_ADDRESS_FIELDS.iter().find(|(sent, ..)| *sent == key) {
            let text = if key == "country" { country::localized(&text).to_owned() } else { text };
            set_row_text(self.billing_row(numbers), name, text);
            return Ok(());
        }
        if !PARTNER_ORDER.contains(&key) && !self.0.has(key) {
            return Err(format!(
                "a partner has no field `{key}`; it has {}, and street, post_number, place, province, country \
                 of its billing address",
                PARTNER_ORDER.join(", ")
            ));
        }
        if PARTNER_FIELDS.iter().any(|(name, _, kind)| *name == key && matches!(kind, Kind::Bool))
            && !matches!(text.as_str(), "" | "true" | "false")
        {
            return Err(format!("`{key}` takes \"true\" or \"false\""));
        }
        self.0.set_text(key, text, &PARTNER_ORDER);
        Ok(())
    }

    /// The rows a person sent instead of a list; new ones get an id, old ones must be of this partner.
    fn edited_rows(
        &self,
        list: &str,
        value: &Value,
        order: &[&str],
        mut number: impl FnMut() -> String,
    ) -> Result<Vec<Object>, String> {
        let sent = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Array(rows) => rows,
            _ => return Err(format!("`{list}` takes a list of rows")),
        };
        let mut rows = Vec::with_capacity(sent.len());
        for row in sent {
            let Value::Object(fields) = row else { return Err(format!("a row of `{list}` is an object")) };
            let mut edited = Object::default();
            for (key, value) in fields {
                let text = match value {
                    Value::Null => continue,
                    Value::String(text) => text.clone(),
                    Value::Bool(_) | Value::Number(_) => value.to_string(),
                    _ => return Err(format!("`{key}` in `{list}` takes a plain value")),
                };
                let text = if key == "country" { country::localized(&text).to_owned() } else { text };
                edited.set_text(key, text, order);
            }
            match edited.text("mk_id") {
                None => edited.set_text("mk_id", number(), order),
                Some(id) if self.0.rows(list).iter().any(|row| row.text("mk_id") == Some(id)) => {}
                Some(id) => {
                    return Err(format!(
                        "`{list}` has no row with mk_id {id}; leave mk_id out for a new row"
                    ));
                }
            }
            rows.push(edited);
        }
        Ok(rows)
    }

    /// A contact shows the street of the address it belongs to.
    fn refresh_contact_addresses(&mut self) {
        let streets: Vec<(String, String)> = self
            .0
            .rows(ADDRESSES)
            .iter()
            .map(|row| (owned(row.text("mk_id")), owned(row.text("street"))))
            .collect();
        for contact in self.0.rows_mut(CONTACTS).into_iter().flatten() {
            let street = streets
                .iter()
                .find(|(id, _)| contact.text("mk_address_id") == Some(id))
                .map(|(_, street)| street.clone());
            if let Some(street) = street {
                contact.set_text("contact_address", street, &CONTACT_ORDER);
            }
        }
    }

    /// The billing address, else the first one.
    pub(crate) fn billing(&self) -> Option<&Object> {
        let rows = self.0.rows(ADDRESSES);
        rows.iter().find(|row| row.text("address_type") == Some(BILLING)).or(rows.first())
    }

    /// What the search keys of `get_partner` look into.
    pub(crate) fn search_texts(&self) -> SearchTexts {
        let every = |keys: &[&str]| {
            let contacts = self.0.rows(CONTACTS).iter();
            contacts
                .flat_map(|row| keys.iter().filter_map(|key| row.text(key)))
                .collect::<Vec<_>>()
                .join("\n")
        };
        SearchTexts {
            name: owned(self.0.text("customer")),
            tax: owned(self.0.text("tax_id_number")),
            email: every(&["email"]),
            phone: every(&["phone", "gsm"]),
        }
    }

    /// What tells two partners apart: the tax number, else the e-mails of the first field that has any, else name,
    /// street and post number. Two partners that share one key are one too many.
    pub(crate) fn natural_keys(&self) -> Vec<String> {
        let address = self.billing();
        let text = |key: &str| self.0.text(key).unwrap_or_default();
        let at = |key: &str| address.and_then(|row| row.text(key)).unwrap_or_default();
        // Nobody knows where abroad a partner without a country is.
        let abroad = at("country").is_empty() && text("foreign_county") == "true";
        let country = if abroad { "?" } else { at("country") };
        if let Some(tax) = keys::tax_key(text("tax_id_number"), country) {
            return vec![format!("tax:{tax}")];
        }
        let fields = self.0.rows(CONTACTS).iter().filter_map(|row| row.text("email"));
        let emails = fields.map(keys::email_keys).find(|keys| !keys.is_empty()).unwrap_or_default();
        if !emails.is_empty() {
            return emails.into_iter().map(|email| format!("email:{email}")).collect();
        }
        let name = keys::name_key(text("customer"), at("street"), at("post_number"));
        name.map(|name| format!("name:{name}")).into_iter().collect()
    }
}

fn owned(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

/// Some addresses answer `provice` instead of `province`; a change must not give them both.
fn set_row_text(row: &mut Object, key: &str, text: String) {
    let key = if key == "province" && row.has("provice") { "provice" } else { key };
    row.set_text(key, text, &ADDRESS_ORDER);
}

/// Puts the sent fields into a record; absent, null and empty ones leave it as it is.
fn fill(
    into: &mut Object,
    sent: &Map<String, Value>,
    fields: &[Field],
    order: &[&str],
    switches: &Switches,
) -> Result<(), Refusal> {
    change(into, sent, fields, order, switches, false)
}

/// As [`fill`], or with `cleared` an empty text takes its key away.
fn change(
    into: &mut Object,
    sent: &Map<String, Value>,
    fields: &[Field],
    order: &[&str],
    switches: &Switches,
    cleared: bool,
) -> Result<(), Refusal> {
    let cut = switches.turned(Switch::OverLong);
    for (name, key, kind) in fields {
        let value = sent.get(*name);
        let text = match kind {
            Kind::Bool => boolean(name, value)?,
            Kind::Text(max) => limited(name, value, *max, cut)?,
            Kind::Country(max) => {
                limited(name, value, *max, cut)?.map(|name| country::localized(&name).to_owned())
            }
            Kind::AddressType => plain(name, value)?.map(address_type).transpose()?,
        };
        let empty = cleared && value.and_then(Value::as_str) == Some("");
        let Some(text) = text.or(empty.then(String::new)) else { continue };
        let key = if *key == "province" && into.has("provice") { "provice" } else { key };
        into.set_text(key, text, order);
    }
    Ok(())
}

fn address_type(text: String) -> Result<String, Refusal> {
    if ADDRESS_TYPES.contains(&text.as_str()) {
        Ok(text)
    } else {
        Err(Refusal::InvalidChoice { field: "address_type".into(), value: text, valid: ADDRESS_TYPES_TEXT })
    }
}

fn boolean(name: &str, value: Option<&Value>) -> Result<Option<String>, Refusal> {
    match plain(name, value)? {
        Some(text) if !matches!(text.as_str(), "true" | "false") => {
            Err(Refusal::InvalidChoice { field: name.into(), value: text, valid: "true,false" })
        }
        other => Ok(other),
    }
}

fn limited(name: &str, value: Option<&Value>, max: usize, cut: bool) -> Result<Option<String>, Refusal> {
    match plain(name, value)? {
        Some(text) if cut => Ok(Some(text.chars().take(max).collect())),
        Some(text) if text.chars().count() > max => Err(Refusal::TooLong { field: name.into(), max }),
        other => Ok(other),
    }
}

/// A plain value as text; absent, null and empty are the same to the vendor.
pub(crate) fn plain(name: &str, value: Option<&Value>) -> Result<Option<String>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(Value::Bool(_) | Value::Number(_)) => Ok(value.map(Value::to_string)),
        Some(Value::Array(_) | Value::Object(_)) => {
            Err(Refusal::InvalidChoice { field: name.into(), value: "object".into(), valid: "text" })
        }
    }
}

fn nested<'a>(sent: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
    match sent.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(row)) => Ok(Some(row)),
        Some(_) => {
            Err(Refusal::InvalidChoice { field: name.into(), value: "list".into(), valid: "one object" })
        }
    }
}

/// The rows of a list; one row may stand without its list.
fn row_list<'a>(sent: &'a Map<String, Value>, name: &str) -> Result<Vec<&'a Map<String, Value>>, Refusal> {
    let wrong =
        || Refusal::InvalidChoice { field: name.into(), value: "text".into(), valid: "list of objects" };
    match sent.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(row)) => Ok(vec![row]),
        Some(Value::Array(rows)) => {
            rows.iter().map(|row| row.as_object().ok_or_else(wrong)).collect::<Result<_, _>>()
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// With a partner as short as its test.
    fn lenient() -> Switches {
        let mut switches = Switches::default();
        switches.set_pair("address-members=optional").unwrap();
        switches
    }

    fn shown(partner: &Partner) -> Value {
        serde_json::from_slice(&partner.0.to_json()).unwrap()
    }

    fn alfa(numbers: &mut Numbers) -> Partner {
        Partner::added(
            &map(json!({
                "customer": "Alfa d.o.o.", "buyer": true, "tax_id_number": "SI00000001",
                "street": "Vzorčna 1", "post_number": 1000, "place": "Ljubljana", "country": "SI",
                "partner_contact": {"name": "Ana Vzorec", "email": "ana@alfa.example"},
                "partner_delivery_address": {"street": "Skladiščna 5", "city": "Celje"}
            })),
            numbers,
            &Switches::default(),
        )
        .unwrap()
    }

    #[test]
    fn an_added_partner_has_the_shape_of_the_read_side() {
        assert_eq!(
            shown(&alfa(&mut Numbers::default())),
            json!({
                "mk_id": "400070000001", "count_code": "1", "customer": "Alfa d.o.o.", "buyer": "true",
                "tax_id_number": "SI00000001",
                "partner_contact_list": [{
                    "mk_id": "400070000004", "mk_address_id": "400070000002", "contact_address": "Vzorčna 1",
                    "name": "Ana Vzorec", "email": "ana@alfa.example"
                }],
                "partner_delivery_address_list": [
                    {"mk_id": "400070000002", "address_type": "Račun", "street": "Vzorčna 1",
                     "post_number": "1000", "city": "Ljubljana", "country": "Slovenija", "language": "Slovenski"},
                    {"mk_id": "400070000003", "address_type": "Dobava", "street": "Skladiščna 5",
                     "city": "Celje", "language": "Slovenski"}
                ]
            })
        );
    }

    #[test]
    fn what_the_vendor_refuses() {
        let long = "x".repeat(101);
        let cases = [
            (json!({"street": "a"}), "Value is require for customer"),
            (
                json!({"customer": "a", "buyer": "yes"}),
                "Paramether 'buyer' has invalid value : yes. Valid values : true,false",
            ),
            (
                json!({"customer": long}),
                "Paramether 'customer' has invalid value : too long. Maximum length : 100",
            ),
            (
                json!({"customer": "a", "partner_delivery_address": {"address_type": "Doma"}}),
                "Paramether 'address_type' has invalid value : Doma. Valid values : Račun,Dobava,Poslovna enota",
            ),
        ];
        for (sent, text) in cases {
            let refusal =
                Partner::added(&map(sent.clone()), &mut Numbers::default(), &lenient()).unwrap_err();
            assert_eq!(refusal.text(false), text, "{sent}");
        }
    }

    #[test]
    fn an_update_changes_what_was_sent_and_nothing_else() {
        let mut numbers = Numbers::default();
        let before = alfa(&mut numbers);
        let cases = [
            ("nothing sent", json!({}), json!({})),
            ("empty is ignored", json!({"customer": "", "tax_id_number": null}), json!({})),
            ("the top-level address is ignored", json!({"street": "Nova 9", "place": "Kranj"}), json!({})),
            ("a plain field", json!({"customer": "Beta"}), json!({"/customer": "Beta"})),
            (
                "a row by its id",
                json!({"partner_delivery_address_list": [{"mk_id": "400070000002", "street": "Nova 9"}]}),
                json!({"/partner_delivery_address_list/0/street": "Nova 9",
                    "/partner_contact_list/0/contact_address": "Nova 9"}),
            ),
            (
                "one row without its list",
                json!({"partner_contact_list": {"mk_id": "400070000004", "email": "b@alfa.example", "name": ""}}),
                json!({"/partner_contact_list/0/email": "b@alfa.example"}),
            ),
        ];
        for (case, sent, changes) in cases {
            let mut partner = before.clone();
            partner.update(&map(sent), &mut numbers, &Switches::default(), false).unwrap();
            let mut expected = shown(&before);
            for (pointer, value) in changes.as_object().unwrap() {
                *expected.pointer_mut(pointer).unwrap() = value.clone();
            }
            assert_eq!(shown(&partner), expected, "{case}");
        }
    }

    #[test]
    fn rows_without_an_id_are_appended_every_time() {
        let mut numbers = Numbers::default();
        let mut partner = alfa(&mut numbers);
        let sent = map(json!({
            "partner_delivery_address_list": [{"address_type": "Poslovna enota", "street": "Tretja 3"}],
            "partner_contact_list": [{"mk_address_id": "400070000003", "name": "Bor"}]
        }));
        partner.update(&sent, &mut numbers, &Switches::default(), false).unwrap();
        partner.update(&sent, &mut numbers, &Switches::default(), false).unwrap();
        assert_eq!(partner.0.rows(ADDRESSES).len(), 4);
        assert_eq!(partner.0.rows(CONTACTS).len(), 3);
        assert_eq!(partner.0.rows(CONTACTS)[2].text("contact_address"), Some("Skladiščna 5"));
        let homeless = map(json!({"partner_contact_list": [{"name": "Bor"}]}));
        let refusal = partner.update(&homeless, &mut numbers, &Switches::default(), false).unwrap_err();
        assert_eq!(refusal, Refusal::MustBeSet("mk_address_id"));
    }

    #[test]
    fn a_person_can_clear_a_field_and_replace_a_list() {
        let mut numbers = Numbers::default();
        let mut partner = alfa(&mut numbers);
        let fields = map(json!({
            "tax_id_number": null, "buyer": "", "street": "Nova 9",
            "partner_contact_list": [{"name": "Bor"}, {"mk_id": "400070000004", "name": "Ana"}]
        }));
        partner.edit(&fields, &mut numbers).unwrap();
        let shown = shown(&partner);
        assert_eq!(shown.get("tax_id_number"), None);
        assert_eq!(shown.get("buyer"), None);
        assert_eq!(
            shown["partner_contact_list"],
            json!([
                {"mk_id": "400070000005", "mk_address_id": "400070000002", "contact_address": "Nova 9", "name": "Bor"},
                {"mk_id": "400070000004", "mk_address_id": "400070000002", "contact_address": "Nova 9", "name": "Ana"}
            ])
        );
    }

    #[test]
    fn a_misspelt_province_stays_the_only_one() {
        let mut numbers = Numbers::default();
        let mut partner = alfa(&mut numbers);
        let row = &mut partner.0.rows_mut(ADDRESSES).unwrap()[0];
        row.set_text("provice", "Gorenjska", &ADDRESS_ORDER);
        let sent =
            json!({"partner_delivery_address_list": {"mk_id": "400070000002", "province": "Podravska"}});
        partner.update(&map(sent), &mut numbers, &Switches::default(), false).unwrap();
        let row = &partner.0.rows(ADDRESSES)[0];
        assert_eq!((row.text("provice"), row.text("province")), (Some("Podravska"), None));
    }

    #[test]
    fn the_strongest_keys_present_are_the_keys() {
        for (fields, keys) in [
            (json!({"customer": "A", "tax_id_number": "si 1234-5678"}), &["tax:SI12345678"][..]),
            (json!({"customer": "A", "tax_id_number": "HR12345678901"}), &["tax:HR12345678901"]),
            (json!({"customer": "A", "tax_id_number": "123456789", "country": "DE"}), &["tax:DE123456789"]),
            (
                json!({"customer": "A", "tax_id_number": "12345678", "foreign_county": "true"}),
                &["tax:12345678"],
            ),
            (
                json!({"customer": "A", "tax_id_number": "ni podatka", "partner_contact": {"email": "Ana@X.example"}}),
                &["email:ana@x.example"],
            ),
            (
                json!({"customer": "A", "partner_contact": {"email": "a@x.example, b@x.example"}}),
                &["email:a@x.example", "email:b@x.example"],
            ),
            (
                json!({"customer": "Ana  Novak", "street": "Ulica 1", "post_number": "1000"}),
                &["name:ana novak|ulica 1|1000"],
            ),
        ] {
            let partner = Partner::added(&map(fields), &mut Numbers::default(), &lenient()).unwrap();
            assert_eq!(partner.natural_keys(), keys);
        }
    }
}
