//! Between a partner on the wire and the fields both sides keep.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rest::Rest;
use super::wire::{AddressRow, ContactRow, PartnerWire, Text};
use crate::model::company_name::has_legal_form;
use crate::model::match_key::{is_vat_number, tax_key};
use crate::model::{Field, Fields, MkId, RawHash, country, is_mobile, same};

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
    /// Everything else.
    pub rest: Option<Rest>,
}

/// Why a record cannot be translated or sent, one sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Problem {
    /// The partner, where its id could be read although the rest could not.
    pub id: Option<MkId>,
    /// The sentence.
    pub reason: String,
}

impl Problem {
    fn new(reason: String) -> Self {
        Self { id: None, reason }
    }

    /// About a partner that cannot be read. Its id is looked for apart from the rest, which is skipped unread: texts
    /// that are no text (half an emoji, say) do not hide it.
    fn unreadable(bytes: &[u8], error: &serde_json::Error) -> Self {
        #[derive(Deserialize)]
        struct Id<'a> {
            #[serde(borrow)]
            mk_id: Text<'a>,
        }
        let id =
            serde_json::from_slice::<Id<'_>>(bytes).ok().and_then(|found| MkId::parse(found.mk_id.value()?));
        Self { id, reason: format!("Metakocka sent a partner that cannot be read: {error}") }
    }
}

impl Partner {
    /// Reads one element of `partner_list`.
    ///
    /// # Errors
    ///
    /// When it is not a partner: not an object, or without a possible `mk_id`. The problem names the partner where it can.
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let wire: PartnerWire<'_> =
            serde_json::from_slice(bytes).map_err(|error| Problem::unreadable(bytes, &error))?;
        let id = wire
            .mk_id
            .value()
            .ok_or_else(|| Problem::new("Metakocka sent a partner without mk_id".to_owned()))?;
        let id = MkId::parse(id).ok_or_else(|| {
            Problem::new(format!("Metakocka sent a partner whose mk_id cannot be one: {id:?}"))
        })?;
        Ok(Self {
            id,
            code: wire.count_code.value().map(str::to_owned),
            raw_hash: RawHash::of(bytes),
            fields: fields(&wire),
            rest: Rest::of(bytes, &wire),
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
    /// A legal form in the name says company whatever the flag says. Else the flag decides: persons have tax numbers too. A
    /// missing flag leaves it to any number that businesses have.
    fn is_business(&self) -> bool {
        // Most say so themselves; a name is only read where they do not.
        let flag = self.business_entity.flag();
        flag == Some(true)
            || self.customer.value().is_some_and(has_legal_form)
            || flag.unwrap_or_else(|| {
                self.registration_number.value().is_some()
                    || self.taxpayer.flag() == Some(true)
                    || self
                        .tax_id_number
                        .value()
                        .is_some_and(|number| tax_key(number, self.country()).is_some())
            })
    }

    fn country(&self) -> Option<&str> {
        self.billing().and_then(|row| row.country.value())
    }

    /// The billing address: type `Račun`, else the first one.
    fn billing(&self) -> Option<&AddressRow<'_>> {
        let list = &self.partner_delivery_address_list.0;
        list.iter().find(|row| row.address_type.value() == Some(BILLING)).or_else(|| list.first())
    }

    /// The one person a contact is made from: the first with an e-mail, else the first. Name, e-mail and phone come from
    /// this row and go to it; another person's are never mixed in.
    fn person(&self) -> Option<&ContactRow<'_>> {
        let list = &self.partner_contact_list.0;
        list.iter().find(|row| row.email.value().is_some()).or_else(|| list.first())
    }
}

/// Whether a name or a tax number can only be a company's.
fn means_company(name: Option<&str>, tax_number: Option<&str>) -> bool {
    name.is_some_and(has_legal_form) || tax_number.is_some_and(is_vat_number)
}

fn fields(wire: &PartnerWire<'_>) -> Fields {
    let mut fields = Fields::default();
    let name = wire.customer.value();
    let person = wire.person();
    if wire.is_business() {
        fields.set(Field::Company, name);
        fields.set(Field::FullName, person.and_then(|row| row.name.value()));
    } else {
        fields.set(Field::FullName, name);
    }
    fields.set(Field::Email, person.and_then(|row| row.email.value()));
    fields.set(Field::Phone, person.and_then(|row| row.phone.value().or(row.gsm.value())));
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
        problems.push(Problem::new(
            "a name is missing: fill company, full_name or firstname and lastname".to_owned(),
        ));
    }
    for field in [Field::Street, Field::PostalCode, Field::City] {
        if fields.get(field).is_none() {
            problems.push(Problem::new(format!("{field} is missing: Metakocka needs a complete address")));
        }
    }
    for (field, value) in fields.present() {
        problems.extend(too_long(field, value, fields.get(Field::Company).is_some()));
    }
    problems.extend(fields.get(Field::Country).and_then(unknown_country));
    problems
}

/// Metakocka takes any text for a country and then shows none (`get_partner.md`: a name it knows), so what no country
/// is called is not sent.
fn unknown_country(name: &str) -> Option<Problem> {
    if country::code(name).is_some() {
        return None;
    }
    let hint = country::nearest(name).map_or_else(
        || "write its name in Slovenian, English or German, or its ISO code".to_owned(),
        |(code, name)| format!("did you mean {name} ({code})?"),
    );
    Some(Problem::new(format!("country {name:?} is not known: {hint}")))
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
        .then(|| Problem::new(format!("{field} is too long: {length} characters, Metakocka takes {most}")))
}

/// The body of `add_partner`. A record without a country is sent with `home`: the page asks for street, post number,
/// place and country.
#[must_use]
pub fn add_body(fields: &Fields, home: &str) -> Value {
    let country = fields.get(Field::Country).or(Some(home));
    let business = fields.get(Field::Company).is_some()
        || means_company(fields.get(Field::FullName), fields.get(Field::TaxNumber));
    let mut partner = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            partner.insert(name.to_owned(), json!(value));
        }
    };
    let flag = |yes: bool| Some(if yes { "true" } else { "false" });
    put("business_entity", flag(business));
    put("taxpayer", flag(fields.get(Field::TaxNumber).is_some_and(is_vat_number)));
    put("foreign_county", flag(country::is_foreign(country)));
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
    let wire: PartnerWire<'_> =
        serde_json::from_slice(current).map_err(|error| Problem::unreadable(current, &error))?;
    let to =
        |field: Field| changes.iter().find(|(changed, _)| *changed == field).map(|(_, value)| value.as_str());
    for (field, value) in changes {
        if let Some(problem) = too_long(*field, value, wire.is_business()) {
            return Err(problem);
        }
    }
    if let Some(problem) = to(Field::Country).and_then(unknown_country) {
        return Err(problem);
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
        if let Some(flag) = taxpayer_after(&wire, number) {
            put("taxpayer", if flag { "true" } else { "false" });
        }
    }
    if let Some(number) = to(Field::RegistrationNumber) {
        put("registration_number", number);
    }

    if let Some(rows) = address_rows(&wire, &to) {
        partner.insert("partner_delivery_address_list".to_owned(), rows);
    }
    // A person who becomes a business keeps the name as the contact person's.
    let person = if becomes_business {
        to(Field::FullName).or(wire.customer.value())
    } else if business {
        to(Field::FullName)
    } else {
        to(Field::FullName).filter(|_| names_the_partner(&wire))
    };
    let mut deferred = Vec::new();
    match contact_rows(&wire, person, to(Field::Email), to(Field::Phone)) {
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
        let foreign = if country::is_foreign(Some(country)) { "true" } else { "false" };
        partner.insert("foreign_county".to_owned(), json!(foreign));
    }
    Ok(Update { body: json!({ "partner": partner }), deferred })
}

/// What `taxpayer` becomes with a new tax number; `None` leaves it. It follows the number as it did when we made the
/// partner; where a person has set it against the number, the person knows better.
fn taxpayer_after(wire: &PartnerWire<'_>, number: &str) -> Option<bool> {
    let before = wire.tax_id_number.value().is_some_and(is_vat_number);
    let now = is_vat_number(number);
    match wire.taxpayer.flag() {
        Some(flag) if flag != before || flag == now => None,
        _ => Some(now),
    }
}

/// Whether the contact row of a person repeats the person's name, as the one we make does: then it is renamed with it.
fn names_the_partner(wire: &PartnerWire<'_>) -> bool {
    let row = wire.person().and_then(|row| row.name.value());
    row.is_some() && same(Field::FullName, row, wire.customer.value())
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
    let row = wire.person();
    let mut members = Map::new();
    let mut put = |member: &str, value: &str| members.insert(member.to_owned(), json!(value));
    if let Some(name) =
        name.filter(|name| !same(Field::FullName, Some(name), row.and_then(|row| row.name.value())))
    {
        put("name", name);
    }
    if let Some(email) = email {
        put("email", email);
    }
    if let Some(number) = phone {
        // A number goes where the old one stood, so that reading finds the new one.
        let member = match row {
            Some(row) if row.phone.value().is_some() => "phone",
            _ => phone_member(number),
        };
        put(member, number);
    }
    if members.is_empty() {
        return Ok(None);
    }
    if let Some(id) = row.and_then(|row| row.mk_id.value()) {
        members.insert("mk_id".to_owned(), json!(id));
    } else {
        let address = wire.billing().and_then(|row| row.mk_id.value()).ok_or_else(|| {
            Problem::new(
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
    Ok(Some(json!([members])))
}

fn phone_member(number: &str) -> &'static str {
    if is_mobile(number) { "gsm" } else { "phone" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partner(rest: &str) -> Partner {
        Partner::read(format!(r#"{{"mk_id":"7",{rest}}}"#).as_bytes()).unwrap()
    }

    fn update(current: &str, changes: &[(Field, &str)]) -> Value {
        let changes: Vec<_> = changes.iter().map(|(field, value)| (*field, (*value).to_owned())).collect();
        let current = format!(r#"{{"mk_id":"7",{current}}}"#);
        update_body(current.as_bytes(), &changes).unwrap().body["partner"].clone()
    }

    const TWO: &str = r#""customer":"Alfa d.o.o.","partner_contact_list":[
        {"mk_id":"71","name":"Ana Kos","phone":"01 111 11 11"},
        {"mk_id":"72","name":"Bojan Novak","email":"bojan@alfa.example"},
        {"mk_id":"73","name":"Cene Zupan","email":"cene@alfa.example","gsm":"041 333 333"}]"#;

    #[test]
    fn one_person_is_read() {
        let wants = |rest: &str| {
            let fields = partner(rest).fields;
            [Field::FullName, Field::Email, Field::Phone].map(|field| fields.get(field).map(str::to_owned))
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(wants(TWO), [text("Bojan Novak"), text("bojan@alfa.example"), None]);
        let rows = [
            (r#"{"name":"Ana","phone":"1"},{"name":"Bojan","gsm":"2"}"#, [text("Ana"), None, text("1")]),
            (r#"{"phone":"1"},{"name":"Bojan"}"#, [None, None, text("1")]),
            (r#"{"name":"Ana"},{"email":"b@b.example","gsm":"2"}"#, [None, text("b@b.example"), text("2")]),
            ("", [None, None, None]),
        ];
        for (list, expected) in rows {
            let rest = format!(r#""customer":"Alfa d.o.o.","partner_contact_list":[{list}]"#);
            assert_eq!(wants(&rest), expected, "{list}");
        }
    }

    #[test]
    fn one_person_is_written() {
        for (field, value, member) in [
            (Field::FullName, "Bojan Kos", "name"),
            (Field::Email, "b@alfa.example", "email"),
            (Field::Phone, "041 123 456", "gsm"),
            (Field::Phone, "01 222 22 22", "phone"),
        ] {
            assert_eq!(
                update(TWO, &[(field, value)])["partner_contact_list"],
                json!([{ "mk_id": "72", member: value }]),
                "{field}"
            );
        }
        let all = [(Field::FullName, "B"), (Field::Email, "b@b.example"), (Field::Phone, "01 222 22 22")];
        assert_eq!(
            update(TWO, &all)["partner_contact_list"],
            json!([{ "mk_id": "72", "name": "B", "email": "b@b.example", "phone": "01 222 22 22" }])
        );
    }

    #[test]
    fn a_new_surname_reaches_the_row_that_repeats_the_name() {
        let rows = [
            (r#"{"mk_id":"71","name":"Ana Kos"}"#, json!([{ "mk_id": "71", "name": "Ana Novak" }])),
            (r#"{"mk_id":"71","name":"Ana  Kos"}"#, json!([{ "mk_id": "71", "name": "Ana Novak" }])),
            (
                r#"{"mk_id":"70","name":"X"},{"mk_id":"71","name":"Ana Kos","email":"a@x.example"}"#,
                json!([{ "mk_id": "71", "name": "Ana Novak" }]),
            ),
            (r#"{"mk_id":"71","name":"Bojan Zet"}"#, Value::Null),
            (r#"{"mk_id":"71","email":"a@x.example"}"#, Value::Null),
            ("", Value::Null),
        ];
        for (list, expected) in rows {
            let current =
                format!(r#""customer":"Ana Kos","business_entity":"false","partner_contact_list":[{list}]"#);
            let body = update(&current, &[(Field::FullName, "Ana Novak")]);
            assert_eq!(body["customer"], "Ana Novak");
            assert_eq!(body["partner_contact_list"], expected, "{list}");
        }
    }

    #[test]
    fn flags_follow_an_edit() {
        for (current, number, expected) in [
            (r#""tax_id_number":"12345678","taxpayer":"false""#, "SI12345678", json!("true")),
            (r#""tax_id_number":"SI12345678","taxpayer":"true""#, "12345678", json!("false")),
            (r#""customer":"Alfa""#, "ATU12345678", json!("true")),
            (r#""customer":"Alfa","taxpayer":"false""#, "NI ZAVEZANEC", Value::Null),
            // A person has said so.
            (r#""tax_id_number":"12345678","taxpayer":"true""#, "87654321", Value::Null),
            (r#""tax_id_number":"SI12345678","taxpayer":"false""#, "SI87654321", Value::Null),
        ] {
            assert_eq!(
                update(current, &[(Field::TaxNumber, number)])["taxpayer"],
                expected,
                "{current} {number}"
            );
        }
        for (country, expected) in
            [("SVN", "false"), ("Slowenien", "false"), ("Österreich", "true"), ("040", "true")]
        {
            let body = update(r#""customer":"Alfa""#, &[(Field::Country, country)]);
            assert_eq!(body["foreign_county"], expected, "{country}");
        }
    }

    #[test]
    fn an_unknown_country_is_refused_with_a_suggestion() {
        for (name, hint) in
            [("Slovenja", "Slovenija (SI)"), ("Avstrja", "Avstrija (AT)"), ("Atlantida", "ISO code")]
        {
            let fields = [(Field::Country, name.to_owned())].into_iter().collect();
            assert!(validate(&fields).iter().any(|problem| problem.reason.contains(hint)), "{name}");
            let problem = update_body(br#"{"mk_id":"7"}"#, &[(Field::Country, name.to_owned())]).unwrap_err();
            assert!(problem.reason.contains(hint), "{problem}");
        }
    }

    #[test]
    fn who_is_a_company() {
        for (rest, expected) in [
            (r#""customer":"Alfa","business_entity":"true""#, true),
            (r#""customer":"Alfa d.o.o.","business_entity":"false""#, true),
            (r#""customer":"Ana Kos s.p.""#, true),
            (r#""customer":"Alfa","tax_id_number":"12345678""#, true),
            (r#""customer":"Alfa","business_entity":"false","tax_id_number":"SI12345678""#, false),
            (r#""customer":"Alfa","tax_id_number":"SI12345678""#, true),
            (r#""customer":"Ana Kos","business_entity":"false","tax_id_number":"12345678""#, false),
            (r#""customer":"Ana Kos","tax_id_number":"0""#, false),
            (r#""customer":"Ana Kos""#, false),
        ] {
            assert_eq!(partner(rest).fields.get(Field::Company).is_some(), expected, "{rest}");
        }
        for (name, number, expected) in [
            ("Alfa d.o.o.", None, "true"),
            ("Ana Kos", Some("SI12345678"), "true"),
            ("Ana Kos", Some("12345678"), "false"),
        ] {
            let mut fields = Fields::default();
            fields.set(Field::FullName, Some(name));
            fields.set(Field::TaxNumber, number);
            assert_eq!(add_body(&fields, "SI")["partner"]["business_entity"], expected, "{name} {number:?}");
        }
    }

    #[test]
    fn an_unreadable_partner_is_named_where_it_can_be() {
        for (bytes, expected) in [
            (br#"{"mk_id":"40","customer":"\ud83d"}"#.as_slice(), Some("40")),
            (br#"{"customer":"\ud83d x","partner_contact_list":[{"mk_id":"1"}],"mk_id":41}"#, Some("41")),
            (b"{\"mk_id\":\"42\",\"customer\":\"\xff\"}", Some("42")),
            (br#"{"mk_id":"43","customer":["a"]}"#, Some("43")),
            (br#"{"mk_id":"0","customer":"A"}"#, None),
            (br#"{"customer":"\ud83d"}"#, None),
            (br#"{"mk_id":"44","customer":"A"#, None),
            (b"[]", None),
        ] {
            let problem = Partner::read(bytes).unwrap_err();
            assert_eq!(problem.id.as_ref().map(|id| id.0.as_str()), expected, "{problem}");
        }
    }

    #[test]
    fn a_name_nobody_can_see_is_missing() {
        let mut fields = Fields::default();
        for name in ["\u{200b}", "\u{feff} \u{ad}", " \u{2060}"] {
            fields.set(Field::Company, Some(name));
            assert!(
                validate(&fields).iter().any(|problem| problem.reason.contains("name is missing")),
                "{name:?}"
            );
        }
    }
}
