//! Between a partner on the wire and the fields both sides keep.

use serde_json::{Map, Value, json};

use super::wire::{AddressRow, ContactRow, PartnerWire};
use crate::model::{Field, Fields, MkId, RawHash, is_mobile, same};

/// Type of the billing address in the vendor's register.
const BILLING: &str = "Račun";

/// A partner as the rest of the brain sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// Internal id.
    pub id: MkId,
    /// Visible number.
    pub code: Option<String>,
    /// Hash of the bytes it was read from.
    pub raw_hash: RawHash,
    /// The mapped fields.
    pub fields: Fields,
}

/// Why a record cannot be translated or sent, one sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

impl Partner {
    /// Reads one element of `partner_list`.
    ///
    /// # Errors
    ///
    /// When it is not a partner: not an object, or without `mk_id`.
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let wire: PartnerWire<'_> = serde_json::from_slice(bytes)
            .map_err(|error| Problem(format!("Metakocka sent a partner that cannot be read: {error}")))?;
        let id =
            wire.mk_id.value().ok_or_else(|| Problem("Metakocka sent a partner without mk_id".to_owned()))?;
        Ok(Self {
            id: MkId(id.to_owned()),
            code: wire.count_code.value().map(str::to_owned),
            raw_hash: RawHash::of(bytes),
            fields: fields(&wire),
        })
    }
}

/// All e-mail addresses of a partner's contact persons: a look-up finds any of them.
#[must_use]
pub fn emails(bytes: &[u8]) -> Vec<String> {
    serde_json::from_slice::<PartnerWire<'_>>(bytes)
        .map(|wire| {
            wire.partner_contact_list
                .0
                .iter()
                .filter_map(|row| row.email.value().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default()
}

impl PartnerWire<'_> {
    fn is_business(&self) -> bool {
        self.business_entity.flag().unwrap_or_else(|| {
            // Missing in some records: a registration number or VAT registration belongs to businesses.
            self.registration_number.value().is_some() || self.taxpayer.flag() == Some(true)
        })
    }

    /// The billing address: type `Račun`, else the first one.
    fn billing(&self) -> Option<&AddressRow<'_>> {
        let list = &self.partner_delivery_address_list.0;
        list.iter().find(|row| row.address_type.value() == Some(BILLING)).or_else(|| list.first())
    }

    /// The row an e-mail was read from.
    fn email_row(&self) -> Option<&ContactRow<'_>> {
        self.partner_contact_list.0.iter().find(|row| row.email.value().is_some())
    }

    /// The row a phone number was read from.
    fn phone_row(&self) -> Option<&ContactRow<'_>> {
        self.partner_contact_list.0.iter().find(|row| row.phone.value().or(row.gsm.value()).is_some())
    }
}

fn fields(wire: &PartnerWire<'_>) -> Fields {
    let mut fields = Fields::default();
    let name = wire.customer.value();
    if wire.is_business() {
        fields.set(Field::Company, name);
        fields.set(Field::FullName, wire.partner_contact_list.0.first().and_then(|row| row.name.value()));
    } else {
        fields.set(Field::FullName, name);
    }
    fields.set(Field::Email, wire.email_row().and_then(|row| row.email.value()));
    fields.set(Field::Phone, wire.phone_row().and_then(|row| row.phone.value().or(row.gsm.value())));
    if let Some(address) = wire.billing() {
        fields.set(Field::Street, address.street.value());
        fields.set(Field::PostalCode, address.post_number.value());
        fields.set(Field::City, address.city.value());
        fields.set(Field::Province, address.province.value().or(address.provice.value()));
        fields.set(Field::Country, address.country.value());
    }
    fields.set(Field::TaxNumber, wire.tax_id_number.value());
    fields.set(Field::RegistrationNumber, wire.registration_number.value());
    fields
}

/// Everything that keeps these fields from becoming a partner, all problems at once (`add_partner.md`: lengths; a
/// partner needs a name and a billing address).
#[must_use]
pub fn validate(fields: &Fields) -> Vec<Problem> {
    let mut problems = Vec::new();
    if fields.get(Field::Company).or(fields.get(Field::FullName)).is_none() {
        problems
            .push(Problem("a name is missing: fill company, full_name or firstname and lastname".to_owned()));
    }
    for field in [Field::Street, Field::PostalCode, Field::City] {
        if fields.get(field).is_none() {
            problems.push(Problem(format!("{field} is missing: Metakocka needs a complete address")));
        }
    }
    for (field, value) in fields.present() {
        problems.extend(too_long(field, value, fields.get(Field::Company).is_some()));
    }
    problems
}

fn too_long(field: Field, value: &str, business: bool) -> Option<Problem> {
    let most = match field {
        Field::Company | Field::City => 100,
        Field::FullName => {
            if business {
                255
            } else {
                100
            }
        }
        Field::Email | Field::Phone => 255,
        Field::Street => 150,
        Field::PostalCode => 20,
        Field::Province | Field::Country | Field::TaxNumber | Field::RegistrationNumber => 50,
    };
    let length = value.chars().count();
    (length > most)
        .then(|| Problem(format!("{field} is too long: {length} characters, Metakocka takes {most}")))
}

/// The body of `add_partner`. A record without a country is sent with `home`: the page asks for street, post number,
/// place and country.
#[must_use]
pub fn add_body(fields: &Fields, home: &str) -> Value {
    let country = fields.get(Field::Country).or(Some(home));
    let business = fields.get(Field::Company).is_some();
    let mut partner = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            partner.insert(name.to_owned(), json!(value));
        }
    };
    let flag = |yes: bool| Some(if yes { "true" } else { "false" });
    put("business_entity", flag(business));
    put("taxpayer", flag(is_vat_number(fields.get(Field::TaxNumber))));
    put("foreign_county", flag(is_foreign(country)));
    // Without this flag the partner cannot be used on sales documents (`add_partner.md`).
    put("buyer", Some("true"));
    put("customer", fields.get(Field::Company).or(fields.get(Field::FullName)));
    put("tax_id_number", fields.get(Field::TaxNumber));
    put("registration_number", fields.get(Field::RegistrationNumber));
    put("street", fields.get(Field::Street));
    put("post_number", fields.get(Field::PostalCode));
    // The same address that is read as `city` is written as `place` on the top level.
    put("place", fields.get(Field::City));
    put("province", fields.get(Field::Province));
    put("country", country);
    let mut contact = Map::new();
    for (name, value) in [("name", fields.get(Field::FullName)), ("email", fields.get(Field::Email))] {
        if let Some(value) = value {
            contact.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(number) = fields.get(Field::Phone) {
        contact.insert(phone_member(number).to_owned(), json!(number));
    }
    if !contact.is_empty() {
        partner.insert("partner_contact".to_owned(), Value::Object(contact));
    }
    json!({ "partner": partner })
}

/// An update of a partner.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The body of `update_partner`.
    pub body: Value,
    /// Fields that cannot go with it: a contact person hangs on an address, and this update makes the first one.
    pub deferred: Vec<Field>,
}

/// The body of `update_partner` that makes these fields of the partner in `current` say what `changes` says. Only
/// what changes is named: everything else of the partner, its other rows included, stays as it is. A row is changed
/// by its `mk_id`; a row is added only when there is none that could carry the value.
///
/// # Errors
///
/// When the ERP has no place for a value.
pub fn update_body(current: &[u8], changes: &[(Field, String)]) -> Result<Update, Problem> {
    let wire: PartnerWire<'_> = serde_json::from_slice(current)
        .map_err(|error| Problem(format!("Metakocka sent a partner that cannot be read: {error}")))?;
    let to =
        |field: Field| changes.iter().find(|(changed, _)| *changed == field).map(|(_, value)| value.as_str());
    for (field, value) in changes {
        if let Some(problem) = too_long(*field, value, wire.is_business()) {
            return Err(problem);
        }
    }
    let mut partner = Map::new();
    partner.insert("mk_id".to_owned(), json!(wire.mk_id.value()));
    let mut put = |name: &str, value: &str| partner.insert(name.to_owned(), json!(value));

    let becomes_business = to(Field::Company).is_some() && !wire.is_business();
    let business = wire.is_business() || becomes_business;
    if becomes_business {
        put("business_entity", "true");
    }
    if let Some(company) = to(Field::Company) {
        put("customer", company);
    }
    if let (Some(name), false) = (to(Field::FullName), business) {
        put("customer", name);
    }
    if let Some(number) = to(Field::TaxNumber) {
        put("tax_id_number", number);
    }
    if let Some(number) = to(Field::RegistrationNumber) {
        put("registration_number", number);
    }

    if let Some(rows) = address_rows(&wire, &to) {
        partner.insert("partner_delivery_address_list".to_owned(), rows);
    }
    // A person who becomes a business keeps the name as the contact person's.
    let person =
        if becomes_business { to(Field::FullName).or(wire.customer.value()) } else { to(Field::FullName) };
    let mut deferred = Vec::new();
    match contact_rows(&wire, person.filter(|_| business), to(Field::Email), to(Field::Phone)) {
        Ok(Some(rows)) => {
            partner.insert("partner_contact_list".to_owned(), rows);
        }
        Ok(None) => {}
        Err(_) if partner.contains_key("partner_delivery_address_list") => {
            let person = [Field::FullName, Field::Email, Field::Phone];
            deferred.extend(person.into_iter().filter(|field| to(*field).is_some()));
        }
        Err(problem) => return Err(problem),
    }
    if let Some(country) = to(Field::Country) {
        let foreign = if is_foreign(Some(country)) { "true" } else { "false" };
        partner.insert("foreign_county".to_owned(), json!(foreign));
    }
    Ok(Update { body: json!({ "partner": partner }), deferred })
}

/// Whether this update adds a row, which a repeated send would add again (`update_partner.md`).
#[must_use]
pub fn appends(body: &Value) -> bool {
    ["partner_delivery_address_list", "partner_contact_list"]
        .into_iter()
        .filter_map(|list| body.pointer(&format!("/partner/{list}")).and_then(Value::as_array))
        .flatten()
        .any(|row| row.get("mk_id").is_none())
}

fn address_rows<'v>(wire: &PartnerWire<'_>, to: &impl Fn(Field) -> Option<&'v str>) -> Option<Value> {
    // The top-level address of an update is ignored by the ERP; the row with its `mk_id` is the reliable way.
    const MEMBERS: [(Field, &str); 5] = [
        (Field::Street, "street"),
        (Field::PostalCode, "post_number"),
        (Field::City, "city"),
        (Field::Province, "province"),
        (Field::Country, "country"),
    ];
    let mut row = Map::new();
    for (field, member) in MEMBERS {
        if let Some(value) = to(field) {
            row.insert(member.to_owned(), json!(value));
        }
    }
    if row.is_empty() {
        return None;
    }
    match wire.billing() {
        Some(billing) => {
            row.insert("mk_id".to_owned(), json!(billing.mk_id.value()));
            row.insert("address_type".to_owned(), json!(billing.address_type.value().unwrap_or(BILLING)));
        }
        None => {
            row.insert("address_type".to_owned(), json!(BILLING));
        }
    }
    Some(json!([row]))
}

fn contact_rows(
    wire: &PartnerWire<'_>,
    name: Option<&str>,
    email: Option<&str>,
    phone: Option<&str>,
) -> Result<Option<Value>, Problem> {
    let first = wire.partner_contact_list.0.first();
    let mut rows: Vec<(Option<String>, Map<String, Value>)> = Vec::new();
    let mut put = |row: Option<&ContactRow<'_>>, member: &str, value: &str| {
        let id = row.and_then(|row| row.mk_id.value()).map(str::to_owned);
        if let Some((_, members)) = rows.iter_mut().find(|(known, _)| *known == id) {
            members.insert(member.to_owned(), json!(value));
        } else {
            let known = id.iter().map(|id| ("mk_id".to_owned(), json!(id)));
            rows.push((id.clone(), known.chain([(member.to_owned(), json!(value))]).collect()));
        }
    };
    if let Some(name) =
        name.filter(|name| !same(Field::FullName, Some(name), first.and_then(|row| row.name.value())))
    {
        put(first, "name", name);
    }
    if let Some(email) = email {
        put(wire.email_row().or(first), "email", email);
    }
    if let Some(number) = phone {
        // A number goes where the old one stood, so that reading finds the new one.
        let row = wire.phone_row();
        let member = match row {
            Some(row) if row.phone.value().is_some() => "phone",
            Some(_) if is_mobile(number) => "gsm",
            Some(_) => "phone",
            None => phone_member(number),
        };
        put(row.or(first), member, number);
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let mut list = Vec::new();
    for (id, mut members) in rows {
        if id.is_none() {
            let address = wire.billing().and_then(|row| row.mk_id.value()).ok_or_else(|| {
                Problem(
                    "the partner has no address in Metakocka, so no contact person can be added: add an address there"
                        .to_owned(),
                )
            })?;
            members.insert("mk_address_id".to_owned(), json!(address));
            if !members.contains_key("name")
                && let Some(name) = wire.customer.value()
                && !wire.is_business()
            {
                members.insert("name".to_owned(), json!(name));
            }
        }
        list.push(Value::Object(members));
    }
    Ok(Some(Value::Array(list)))
}

fn phone_member(number: &str) -> &'static str {
    if is_mobile(number) { "gsm" } else { "phone" }
}

/// A number with a country prefix is a VAT number: its holder is registered.
fn is_vat_number(number: Option<&str>) -> bool {
    number.is_some_and(|number| number.trim().chars().take(2).filter(char::is_ascii_alphabetic).count() == 2)
}

fn is_foreign(country: Option<&str>) -> bool {
    country.is_some_and(|country| !same(Field::Country, Some(country), Some("SI")))
}
