//! A Metakocka on this machine, in this process.

use std::time::Duration;

use metakocka_sandbox::{Options, Running, Sandbox};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A running sandbox on a port the system chose. It ends with this value.
pub struct Erp {
    running: Running,
    _runtime: Runtime,
}

impl Erp {
    /// A company of so many partners.
    #[must_use]
    pub fn with(partners: usize, seed: u64) -> Self {
        Self::start(Options { partners, seed, ..Options::default() })
    }

    /// A company set up as wanted.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let running = runtime.block_on(metakocka_sandbox::start(options)).unwrap();
        Self { running, _runtime: runtime }
    }

    /// Addresses and credentials.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// The company itself.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        self.running.sandbox()
    }

    /// All partners, in the vendor's shape.
    #[must_use]
    pub fn partners(&self) -> Vec<Value> {
        self.sandbox().state()["partners"].as_array().unwrap().clone()
    }

    /// One partner.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn partner(&self, mk_id: &str) -> Value {
        self.partners()
            .into_iter()
            .find(|partner| partner["mk_id"] == mk_id)
            .unwrap_or_else(|| panic!("no partner {mk_id}"))
    }

    /// How many partners were made twice.
    ///
    /// # Panics
    /// Never, as long as the state has its shape.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.sandbox().state()["duplicates"]["partners"].as_u64().unwrap()
    }

    /// The number of the newest request.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.sandbox().requests(0).last().and_then(|request| request["n"].as_u64()).unwrap_or(0)
    }

    /// Requests after this number that change something.
    #[must_use]
    pub fn writes_since(&self, since: u64) -> Vec<Value> {
        self.sandbox().requests(since).into_iter().filter(|request| request["write"] == true).collect()
    }

    /// Fault rules instead of the ones before.
    ///
    /// # Panics
    /// When a rule makes no sense.
    pub fn faults(&self, rules: Value) {
        self.sandbox().faults(&rules).unwrap();
    }

    /// A person changes fields of a partner.
    ///
    /// # Panics
    /// When the partner is not there.
    pub fn edit(&self, mk_id: &str, fields: Value) {
        self.sandbox()
            .edit(&json!({ "op": "update", "kind": "partner", "mk_id": mk_id, "fields": fields }))
            .unwrap();
    }

    /// A person changes members of one row of a list of a partner.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn edit_row(&self, mk_id: &str, list: &str, row: usize, members: Value) {
        let mut rows = self.partner(mk_id)[list].as_array().unwrap().clone();
        rows[row].as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.edit(mk_id, json!({ list: rows }));
    }

    /// A person changes the street of the billing address.
    ///
    /// # Panics
    /// When there is none.
    pub fn edit_street(&self, mk_id: &str, street: &str) {
        let rows = self.partner(mk_id)["partner_delivery_address_list"].as_array().unwrap().clone();
        let row = rows.iter().position(|row| row["address_type"] == "Račun").unwrap();
        self.edit_row(mk_id, "partner_delivery_address_list", row, json!({ "street": street }));
    }

    /// A person changes the phone of the first contact person.
    pub fn edit_phone(&self, mk_id: &str, phone: &str) {
        self.edit_row(mk_id, "partner_contact_list", 0, json!({ "phone": phone }));
    }

    /// A person makes a partner; its id comes back.
    ///
    /// # Panics
    /// When the fields make no sense.
    #[must_use]
    pub fn create(&self, fields: Value) -> String {
        let made =
            self.sandbox().edit(&json!({ "op": "create", "kind": "partner", "fields": fields })).unwrap();
        made["mk_id"].as_str().unwrap().to_owned()
    }

    /// A person deletes a partner.
    ///
    /// # Panics
    /// When it is not there.
    pub fn delete(&self, mk_id: &str) {
        self.sandbox().edit(&json!({ "op": "delete", "kind": "partner", "mk_id": mk_id })).unwrap();
    }
}

/// Options of a company whose calls take a while, so that something can happen meanwhile.
#[must_use]
pub fn slow(partners: usize, latency_ms: u64) -> Options {
    Options { partners, latency: Duration::from_millis(latency_ms), ..Options::default() }
}
