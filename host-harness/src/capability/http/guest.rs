//! The contract's side of the power: resources and errors as guests see them.

use wasmtime::component::{Accessor, HasSelf, Resource};

use super::{Answer, Body, ErrorKind, HttpError, Request, refused};
use crate::plugin::HostState;
use crate::plugin::bindings::metakocka::crm_sync::http as contract;

impl contract::Host for HostState {
    fn hold_off(&mut self, connection: String, milliseconds: u64) -> wasmtime::Result<()> {
        self.count_call()?;
        self.http().hold_off(&connection, std::time::Duration::from_millis(milliseconds));
        Ok(())
    }
}

impl<T: Send> contract::HostWithStore<T> for HasSelf<HostState> {
    async fn send(
        accessor: &Accessor<T, Self>,
        request: Request,
    ) -> wasmtime::Result<Result<contract::Response, HttpError>> {
        let (http, meter) = accessor.with(|mut access| {
            let state = access.get();
            state.count_call()?;
            wasmtime::error::Ok((state.http(), state.meter()))
        })?;
        let Answer { status, retry_after, content_type, body, .. } =
            match meter.outside(http.send(request)).await {
                Ok(answer) => answer,
                Err(error) => return Ok(Err(error)),
            };
        let body = accessor.with(|mut access| access.get().resources().push(body))?;
        Ok(Ok(contract::Response {
            status,
            retry_after_ms: retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            content_type,
            body,
        }))
    }
}

impl<T: Send> contract::HostBodyWithStore<T> for HasSelf<HostState> {
    async fn read(
        accessor: &Accessor<T, Self>,
        body: Resource<Body>,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, HttpError>> {
        let (piece, meter) = accessor.with(|mut access| {
            let state = access.get();
            state.count_call()?;
            let piece = state.resources().get_mut(&body)?.take(max);
            wasmtime::error::Ok((piece, state.meter()))
        })?;
        Ok(meter.outside(piece.read()).await.map_err(|error| HttpError {
            may_have_arrived: true,
            ..refused(ErrorKind::Unavailable, format!("the stored answer cannot be read: {error}"))
        }))
    }
}

impl contract::HostBody for HostState {
    fn rewind(&mut self, body: Resource<Body>) -> wasmtime::Result<()> {
        self.count_call()?;
        self.resources().get_mut(&body)?.rewind();
        Ok(())
    }

    fn length(&mut self, body: Resource<Body>) -> wasmtime::Result<u64> {
        self.count_call()?;
        Ok(self.resources().get(&body)?.length())
    }

    fn drop(&mut self, body: Resource<Body>) -> wasmtime::Result<()> {
        self.resources().delete(body)?;
        Ok(())
    }
}
