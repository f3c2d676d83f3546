//! What a person does at the vendor's screens, through the control door.

use super::EditError;
use super::company::Company;
use crate::object::Object;
use crate::partner::{Partner, plain};
use crate::register::{Origin, Register, sprinkle_unknown_keys};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A person's edit as it is posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    op: String,
    kind: String,
    mk_id: Option<Value>,
    fields: Option<Map<String, Value>>,
}

impl Company {
    pub(super) fn edit(&mut self, edit: Edit) -> Result<Value, EditError> {
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
