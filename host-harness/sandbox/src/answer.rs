//! Answers in the vendor's shapes, and the manner in which they are sent.

use crate::body::Body;
use crate::fault::Script;
use crate::journal::all_escaped;
use crate::object::Object;
use crate::partner::{ADDRESSES, CONTACTS};
use crate::refusal::Refusal;
use crate::switches::{Switch, Switches};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// An answer and the manner in which it is sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Arc<Body>,
    /// How many bytes of the body are announced, and how many are sent.
    pub(crate) announced: usize,
    pub(crate) sent: usize,
    /// Wait before the first byte.
    pub(crate) hold: Duration,
    /// Size of the pieces, and the wait before each.
    pub(crate) pace: Option<(usize, Duration)>,
}

impl Reply {
    fn new(status: u16, content_type: &'static str, body: Arc<Body>) -> Self {
        let length = body.len();
        Self {
            status,
            content_type,
            retry_after: None,
            body,
            announced: length,
            sent: length,
            hold: Duration::ZERO,
            pace: None,
        }
    }

    pub(crate) fn json(body: Arc<Body>) -> Self {
        Self::new(200, "application/json;charset=UTF-8", body)
    }

    /// A page of the servers in front, as a wrong path or a bad moment shows it.
    pub(crate) fn page(status: u16) -> Self {
        let title = match status {
            404 => "404 Not Found",
            429 => "429 Too Many Requests",
            500 => "500 Internal Server Error",
            502 => "502 Bad Gateway",
            503 => "503 Service Unavailable",
            _ => "MetaKocka",
        };
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        Self::new(status, "text/html", Body::whole(page))
    }

    pub(crate) fn retry_after(self, retry_after: Option<String>) -> Self {
        Self { retry_after, ..self }
    }

    /// A business error: HTTP 200 and a number that does not say much.
    pub(crate) fn failure(code: &str, text: &str) -> Self {
        let failure = Failure { opr_code: code, opr_desc: text, opr_time_ms: "2" };
        Self::json(Body::whole(serde_json::to_vec(&failure).unwrap_or_default()))
    }

    /// A business error whose number and text a rule may choose.
    pub(crate) fn scripted(script: &Script, otherwise: &Refusal) -> Self {
        let code = script.opr_code(otherwise.code());
        Self::failure(&code, script.text().unwrap_or(&otherwise.text(false)))
    }

    /// An error of the application: its number and text have members of their own.
    pub(crate) fn application_error(script: &Script) -> Self {
        let failure = ApplicationFailure {
            opr_code: &script.opr_code("6"),
            opr_code_app: &script.opr_code_app(),
            opr_desc_app: script.text().unwrap_or("Partner cannot be saved."),
            opr_time_ms: "2",
        };
        Self::json(Body::whole(serde_json::to_vec(&failure).unwrap_or_default()))
    }

    /// An object with nothing in it that says how the call went.
    pub(crate) fn silent(empty: bool) -> Self {
        Self::json(Body::whole(if empty { "{}" } else { r#"{"opr_time_ms":"3"}"# }))
    }

    /// A create's answer with this id and nothing else.
    pub(crate) fn only_mk_id(mk_id: &str) -> Self {
        let json = serde_json::json!({ "mk_id": mk_id });
        Self::json(Body::whole(json.to_string()))
    }

    /// The answer with another JSON text, when it is one.
    pub(crate) fn rewritten(self, rewrite: impl FnOnce(&Bytes) -> Bytes) -> Self {
        if self.status != 200 || self.body.len() == 0 {
            return self;
        }
        let body = Body::whole(rewrite(&self.body.read(self.body.len())));
        Self { announced: body.len(), sent: body.len(), body, ..self }
    }

    /// The answer after a UTF-8 byte order mark.
    pub(crate) fn marked(self) -> Self {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let (announced, sent) = (self.announced + MARK.len(), self.sent + MARK.len());
        Self { announced, sent, body: self.body.after(MARK), ..self }
    }

    /// An error that repeats the key it was sent, which a client must never let through.
    pub(crate) fn echo(form: &str, request: &[u8]) -> Self {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let secret = request.get("secret_key").and_then(Value::as_str).unwrap_or_default();
        let quoted = Value::from(secret).to_string();
        let raw = quoted.get(1..quoted.len() - 1).unwrap_or_default();
        let escaped = all_escaped(secret);
        let echoed = match form {
            "raw" => raw.to_owned(),
            "escaped" => escaped,
            _ => format!("{raw} / {escaped}"),
        };
        Self::json(Body::whole(format!(
            r#"{{"opr_code":"1","opr_desc":"Cannot read request : secret_key = {echoed}","opr_time_ms":"2"}}"#
        )))
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    opr_code: &'a str,
    opr_desc: &'a str,
    opr_time_ms: &'a str,
}

#[derive(Serialize)]
struct ApplicationFailure<'a> {
    opr_code: &'a str,
    opr_code_app: &'a str,
    opr_desc_app: &'a str,
    opr_time_ms: &'a str,
}

/// The answer of `get_partner` and `update_partner`: without an `opr_code`, the count first.
///
/// The times are made up from the number of rows, so that the same answer has the same bytes.
pub(crate) fn partner_list(
    rows: Vec<Bytes>,
    announced: usize,
    switches: &Switches,
    single: bool,
) -> Arc<Body> {
    let (open, close) = if single && rows.len() == 1 { ("", "") } else { ("[", "]") };
    let time = 4 + announced / 40;
    Body::list(
        format!(r#"{{"partner_list_count":"{}","partner_list":{open}"#, announced),
        rows,
        if switches.turned(Switch::PartnerCallTimes) {
            format!(r#"{close},"opr_time_ms":"{time}","opr_time_no_lock_ms":"{time}"}}"#)
        } else {
            format!("{close}}}")
        },
    )
}

/// The answer of `add_partner`: ids only, the billing address first.
pub(crate) fn added(partner: &Object, switches: &Switches) -> Arc<Body> {
    #[derive(Serialize)]
    struct Added<'a> {
        mk_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        mk_contact_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        mk_address_id_list: Vec<AddedAddress<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        opr_time_ms: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct AddedAddress<'a> {
        mk_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        street: Option<&'a str>,
    }
    let added = Added {
        mk_id: partner.text("mk_id").unwrap_or_default(),
        mk_contact_id: partner.rows(CONTACTS).first().and_then(|row| row.text("mk_id")),
        mk_address_id_list: partner
            .rows(ADDRESSES)
            .iter()
            .map(|row| AddedAddress {
                mk_id: row.text("mk_id").unwrap_or_default(),
                street: row.text("street"),
            })
            .collect(),
        opr_time_ms: switches.turned(Switch::PartnerCallTimes).then_some("35"),
    };
    Body::whole(serde_json::to_vec(&added).unwrap_or_default())
}

pub(crate) const WAREHOUSES: &str = r#"[{"mk_id":"1600000000042","mark":"glavno","name":"Glavno skladišče","same_address_as_company":"true","main_warehouse":"true","street":"Ljubljanska cesta 1","post":"3000","place":"Celje","include_in_stock_info":"true","active":"true","warehouse_type":"normal","show_product_free_stock":"true"},{"mk_id":"1600000000067","mark":"trg","name":"Trgovina Ljubljana","same_address_as_company":"false","main_warehouse":"false","street":"Slovenska cesta 50","post":"1000","place":"Ljubljana","country":"Slovenija","default_microloc_id":"1600000128800","include_in_stock_info":"true","active":"true","warehouse_type":"normal","show_product_free_stock":"true"},{"mk_id":"1600000000142","mark":"staro","name":"Staro skladišče","same_address_as_company":"false","main_warehouse":"false","street":"Tovarniška cesta 7","post":"2000","place":"Maribor","country":"Slovenija","include_in_stock_info":"false","active":"false","warehouse_type":"normal"}]"#;

/// The cheapest call, which clients use to try their credentials. Unlike the partner calls it says `opr_code`; unlike
/// other lists it repeats nothing of the request.
pub(crate) fn warehouse_list() -> Arc<Body> {
    Body::whole(format!(
        r#"{{"opr_code":"0","opr_time_ms":"8","opr_time_no_lock_ms":"8","doc_type":"warehouse_list","warehouse_list_count":"3","warehouse_list":{WAREHOUSES}}}"#
    ))
}
