//! The desired state as text: complete, byte-stable, secrets only as references.

use serde_json::Value;

use super::state::Desired;
use crate::blueprint::to_yaml;

impl Desired {
    /// The whole as a JSON value.
    pub fn to_json(&self) -> Value {
        // Maps with string keys, no floats: nothing in it that JSON cannot say.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// The whole as one YAML document; the same desired state gives the same bytes.
    pub fn render_yaml(&self) -> String {
        to_yaml(&self.to_json())
    }

    /// The whole as indented JSON with a trailing newline; the same desired state gives the same bytes.
    pub fn render_json(&self) -> String {
        format!("{:#}\n", self.to_json())
    }
}
