//! The notebook file: nbformat 4, written as Jupyter writes it (sorted keys, one space of indent), so that a run
//! changes nothing but the outputs.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// A notebook in memory.
pub struct Notebook {
    document: Value,
}

impl Notebook {
    /// Reads a notebook.
    ///
    /// # Errors
    /// If the file cannot be read or is not a notebook of format 4.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let document: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is not a notebook", path.display()))?;
        ensure!(
            document["nbformat"] == 4 && document["cells"].is_array(),
            "{} is not a notebook of format 4: open it in Jupyter and save it",
            path.display()
        );
        Ok(Self { document })
    }

    /// Writes the notebook, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let unfinished = path.with_extension("ipynb.part");
        fs::write(&unfinished, self.to_json()?)
            .and_then(|()| fs::rename(&unfinished, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The code cells, in order.
    pub fn code_cells(&mut self) -> impl Iterator<Item = Cell<'_>> {
        let cells = self.document["cells"].as_array_mut().into_iter().flatten();
        cells
            .filter_map(Value::as_object_mut)
            .filter(|fields| fields.get("cell_type").is_some_and(|kind| kind == "code"))
            .map(|fields| Cell { fields })
    }

    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut document = self.document.clone();
        document.sort_all_objects();
        let mut text = Vec::new();
        document.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" ")))?;
        text.push(b'\n');
        Ok(text)
    }
}

/// A code cell.
pub struct Cell<'a> {
    fields: &'a mut Map<String, Value>,
}

impl Cell<'_> {
    /// The cell's code.
    pub fn source(&self) -> String {
        match self.fields.get("source") {
            Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        }
    }

    /// Replaces what an earlier run left by the outputs of execution number `count`; none for a cell not run.
    pub fn set_outputs(&mut self, count: Option<usize>, outputs: Vec<Value>) {
        self.fields.insert("execution_count".into(), count.into());
        self.fields.insert("outputs".into(), outputs.into());
    }
}

/// What went to the stream `name`, `stdout` or `stderr`.
pub(crate) fn stream(name: &str, text: &str) -> Value {
    json!({"output_type": "stream", "name": name, "text": lines(text)})
}

/// A value in one or more MIME types.
pub(crate) fn execute_result(count: usize, content: impl IntoIterator<Item = (String, String)>) -> Value {
    let data: Map<String, Value> =
        content.into_iter().map(|(mime, content)| (mime.clone(), in_mime(&mime, content))).collect();
    json!({"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}})
}

/// An error: its kind, one line, and all that is known.
pub(crate) fn error(kind: &str, message: &str, details: &[String]) -> Value {
    json!({"output_type": "error", "ename": kind, "evalue": message, "traceback": details})
}

/// Jupyter keeps text and SVG as lists of lines, JSON as JSON, and the rest, which is base64, as one string.
fn in_mime(mime: &str, content: String) -> Value {
    if mime.starts_with("text/") || mime == "image/svg+xml" || mime == "application/javascript" {
        lines(&content)
    } else if mime.ends_with("json") {
        serde_json::from_str(&content).unwrap_or(Value::String(content))
    } else {
        Value::String(content)
    }
}

fn lines(text: &str) -> Value {
    text.split_inclusive('\n').collect()
}
