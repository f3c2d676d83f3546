//! One partner: what the vendor's calls and a person at the vendor's screens do to it.

mod fields;

use crate::country;
use crate::keys;
use crate::object::{Node, Object};
use crate::refusal::Refusal;
use crate::switches::{Switch, Switches};
pub(crate) use fields::plain;
use fields::*;
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

#[cfg(test)]
mod tests;
