//! A tenant's settings. They go through its room, so that they have revisions like everything else.

use std::sync::Arc;

use serde_json::Value;

use super::{Room, Sqlite, StoreError};
use crate::store::{Change, Collection, Expectation, MAX_SCAN, Storage, Tenant, Write};

impl Sqlite {
    pub async fn settings(self: &Arc<Self>, tenant: &Tenant) -> Result<Vec<(String, Value)>, StoreError> {
        let room = Room::open(self, tenant).await?;
        let entries = room.scan(Collection::Settings, None, &[], MAX_SCAN).await?;
        let value = |body: &[u8]| {
            let mut body: Value =
                serde_json::from_slice(body).map_err(|_| StoreError::Unreadable("metakocka_settings"))?;
            Ok::<_, StoreError>(body.get_mut("value").map(Value::take).unwrap_or_default())
        };
        entries.into_iter().map(|entry| Ok((entry.id, value(&entry.body)?))).collect()
    }

    pub async fn set_setting(
        self: &Arc<Self>,
        tenant: &Tenant,
        key: &str,
        value: Option<&Value>,
    ) -> Result<(), StoreError> {
        let room = Room::open(self, tenant).await?;
        let change = match value {
            Some(value) => Change::Put(serde_json::json!({ "value": value }).to_string().into_bytes()),
            None => Change::Delete,
        };
        let write =
            Write { collection: Collection::Settings, id: key.to_owned(), expect: Expectation::Any, change };
        room.commit(vec![write]).await?;
        Ok(())
    }
}
