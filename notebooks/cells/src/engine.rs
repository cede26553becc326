use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use libloading::Library;
use tinyjson::JsonValue;

/// Names the engine's library.
const ENGINE: &str = "BEDROCK_TPM_ENGINE";

/// What went wrong, in one line that ends with what to do next.
pub struct Error(String);

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cell that ends in `?` shows this: a sentence instead of a struct.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

#[repr(C)]
struct Reply {
    bytes: *mut u8,
    length: usize,
    capacity: usize,
}

type Call = unsafe extern "C" fn(*const u8, usize) -> Reply;
type Free = unsafe extern "C" fn(Reply);

/// A JSON object.
pub(crate) fn object<const N: usize>(fields: [(&str, JsonValue); N]) -> JsonValue {
    JsonValue::Object(
        fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<HashMap<_, _>>(),
    )
}

/// A JSON text.
pub(crate) fn text(text: &str) -> JsonValue {
    JsonValue::String(text.to_owned())
}

/// A JSON number; exact up to 2^53.
pub(crate) fn number(number: u64) -> JsonValue {
    JsonValue::Number(number as f64)
}

/// What the engine makes of `request`.
pub(crate) fn call(request: &JsonValue) -> Result<JsonValue> {
    let request = request.stringify().map_err(|_| Error("a number is not finite; use another".into()))?;
    let reply = sent(library()?, &request)?;
    let mut reply: JsonValue = reply.parse().map_err(|_| misfit())?;
    let Some(fields) = reply.get_mut::<HashMap<String, JsonValue>>() else { return Err(misfit()) };
    match (fields.remove("ok"), fields.remove("error")) {
        (Some(value), _) => Ok(value),
        (None, Some(JsonValue::String(error))) => Err(Error(error)),
        _ => Err(misfit()),
    }
}

/// What is shown of a reply: an error as its sentence.
pub(crate) fn or_its_error(reply: Result<JsonValue>) -> JsonValue {
    reply.unwrap_or_else(|Error(error)| {
        let form = JsonValue::Array(vec![text("text/plain"), JsonValue::String(error)]);
        object([("forms", JsonValue::Array(vec![form]))])
    })
}

#[expect(unsafe_code, reason = "the engine is behind a C interface")]
fn sent(library: &Library, request: &str) -> Result<String> {
    // SAFETY: these are the types of the engine's two functions, and the reply is copied before it is given back.
    unsafe {
        let call = library.get::<Call>(b"bedrock_tpm_call").map_err(|_| misfit())?;
        let free = library.get::<Free>(b"bedrock_tpm_free").map_err(|_| misfit())?;
        let reply = call(request.as_ptr(), request.len());
        let copy =
            String::from_utf8_lossy(std::slice::from_raw_parts(reply.bytes, reply.length)).into_owned();
        free(reply);
        Ok(copy)
    }
}

#[expect(unsafe_code, reason = "loading a library runs its initialisers")]
fn library() -> Result<&'static Library> {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    if let Some(library) = LIBRARY.get() {
        return Ok(library);
    }
    let path = std::env::var_os(ENGINE).ok_or_else(|| {
        Error(format!("the engine is not there: start this notebook with notebooks/start, or set {ENGINE}"))
    })?;
    // SAFETY: it is the library that notebooks/start has built, or that the user has named.
    let library = unsafe { Library::new(&path) }.map_err(|cause| {
        Error(format!("cannot load the engine; run notebooks/start again to build it: {cause}"))
    })?;
    Ok(LIBRARY.get_or_init(|| library))
}

fn misfit() -> Error {
    Error("the cells' library and its engine do not fit together; run notebooks/start again".into())
}
