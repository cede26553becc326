use axum::http::Method;
use percent_encoding::percent_decode_str;

use super::wire::Fault;

/// Bedrock accepts model ids and ARNs up to this length.
const MAX_MODEL_ID: usize = 2_048;

/// What can be asked of the emulated service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Converse,
    ConverseStream,
    InvokeModel,
    InvokeModelWithResponseStream,
}

/// Operations by the end of their path. The longer ones come first.
const ROUTES: [(&str, Operation); 4] = [
    ("/converse-stream", Operation::ConverseStream),
    ("/converse", Operation::Converse),
    ("/invoke-with-response-stream", Operation::InvokeModelWithResponseStream),
    ("/invoke", Operation::InvokeModel),
];

impl Operation {
    /// The operation, and the model that it is for.
    ///
    /// Model ids come percent-encoded (boto3, the SDKs) or as plain ARNs with slashes (curl), so a route pattern would
    /// not do.
    pub(super) fn of(method: &Method, path: &str) -> Result<(Self, String), Fault> {
        let path = path.strip_prefix("/model/").filter(|_| method == Method::POST);
        let route = |(end, operation)| path.and_then(|path| Some((path.strip_suffix(end)?, operation)));
        let Some((model, operation)) = ROUTES.into_iter().find_map(route) else {
            let message = "The emulator serves POST /model/{modelId}/converse, converse-stream, invoke and \
                           invoke-with-response-stream only.";
            return Err(Fault::new(404, "UnknownOperationException", message));
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
        let model = percent_decode_str(model).decode_utf8().ok();
        model
            .filter(|model| (1..=MAX_MODEL_ID).contains(&model.len()) && model.bytes().all(allowed))
            .map(|model| (operation, model.into_owned()))
            .ok_or_else(|| Fault::validation("The provided model identifier is invalid."))
    }
}
