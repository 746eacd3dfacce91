//! The JSON schema of evidence, generated from its Rust types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::{Evidence, laid_out};
use crate::domain::arithmetic::{Answer, AnswerToken, Class, Prompt, Question, TokenSet};
use crate::domain::node::NodeName;
use crate::domain::task::Variable;

/// The schema of `evidence.json`, published as docs/evidence.schema.json.
pub fn evidence_schema() -> Schema {
    schema_of::<Evidence>()
}

/// The schema of a type's serialized form, in JSON Schema draft 2020-12.
pub(crate) fn schema_of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<T>()
}

/// A schema as stored.
pub fn schema_text(schema: &Schema) -> String {
    laid_out(schema)
}

/// Implements `JsonSchema` for types that are serialized as text.
macro_rules! schema_as_text {
    ($($name:ident: $says:literal, $pattern:literal;)+) => {$(
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                false
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "description": $says, "pattern": $pattern})
            }
        }
    )+};
}

schema_as_text! {
    NodeName: "A node: a head (P12L0H1) or an MLP (P14L1M0) at one token position.", r"^P\d+L\d+[HM]\d+$";
    Class: "A class of question: addition, subtraction, or subtraction with a negative answer.", "^(ADD|SUB|NEG)$";
    Question: "A question, each operand in all its digits.", r"^\d+[-+]\d+$";
    Prompt: "A question; where another answer than the true one is read, with that answer.", r"^\d+[-+]\d+(=[-+0-9=*\\]+)?$";
    Answer: "The tokens of an answer, the sign first; a patched model may give others than digits.", r"^[-+0-9=*\\]+$";
    AnswerToken: "A token of the answer: A0 is the units' digit, the highest is the sign.", r"^A\d+$";
    Variable: "A task, for the digit it is about.", r"^(A\d+\.)?[A-Z]+$";
}

impl JsonSchema for TokenSet {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TokenSet".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> Schema {
        let token = generator.subschema_for::<AnswerToken>();
        schemars::json_schema!({"type": "array", "description": "Answer tokens, highest first.", "items": token})
    }
}
