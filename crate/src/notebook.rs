//! The display protocol of evcxr, the Rust kernel of Jupyter: a marked block on stdout for each MIME type.

/// One result in the forms that it has: MIME types with contents, the richest first. The last one is text.
pub type Forms = Vec<(&'static str, String)>;

/// Shows one result in every form it has; the viewer picks the richest that it knows.
#[expect(clippy::print_stdout, reason = "evcxr reads rich output from stdout; nothing else calls this")]
pub(crate) fn display(forms: &Forms) {
    for (mime, content) in forms {
        println!("EVCXR_BEGIN_CONTENT {mime}\n{}\nEVCXR_END_CONTENT", content.trim_end());
    }
}
