//! One GraphQL request: parsed and checked against the schema, then answered from the world.

use apollo_compiler::executable::Selection;
use apollo_compiler::resolvers::Execution;
use apollo_compiler::response::JsonMap;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::resolve::{Object, What};
use crate::server::Shared;

/// The schema as text.
pub const SCHEMA: &str = include_str!("../schema.graphql");

/// A request's body.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    query: String,
    #[serde(default)]
    variables: Option<JsonMap>,
    /// wandb 0.31.0 sends it empty.
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
}

/// A request that may be executed.
pub(crate) struct Checked {
    document: Valid<ExecutableDocument>,
    operation: Option<String>,
    variables: JsonMap,
    /// Its name, and its root fields.
    pub(crate) name: String,
    pub(crate) fields: Vec<String>,
}

/// What was wrong with a request, one line each.
pub(crate) type Wrong = Vec<String>;

/// The schema, which is checked by a test.
///
/// # Panics
/// It is no valid schema.
pub(crate) fn schema() -> Valid<Schema> {
    match Schema::parse_and_validate(SCHEMA, "schema.graphql") {
        Ok(schema) => schema,
        Err(error) => panic!("schema.graphql is wrong: {error}"),
    }
}

impl Request {
    /// What a body holds.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Wrong> {
        serde_json::from_slice(body).map_err(|error| vec![format!("the body is no GraphQL request: {error}")])
    }

    /// The variables, for the log.
    pub(crate) fn variables(&self) -> Value {
        // A map with text keys is JSON.
        serde_json::to_value(&self.variables).unwrap_or_default()
    }

    /// Checks it against the schema.
    pub(crate) fn check(self, schema: &Valid<Schema>) -> Result<Checked, Wrong> {
        let document = ExecutableDocument::parse_and_validate(schema, &self.query, "request");
        let document = document
            .map_err(|error| error.errors.iter().map(|diagnostic| diagnostic.error.to_string()).collect::<Vec<_>>())?;
        let operation = self.operation_name.filter(|name| !name.is_empty());
        let found = document.operations.get(operation.as_deref()).map_err(|error| vec![error.message().to_string()])?;
        let variables = self.variables.unwrap_or_default();
        // The real server's library lets unknown variables pass; here a client's typing error shall show.
        for name in variables.keys() {
            if !found.variables.iter().any(|variable| variable.name == name.as_str()) {
                return Err(vec![format!("the variable `{}` is not declared by the operation", name.as_str())]);
            }
        }
        let mut fields = Vec::new();
        for selection in &found.selection_set.selections {
            if let Selection::Field(field) = selection {
                fields.push(field.name.to_string());
            }
        }
        let name = found.name.as_ref().map(ToString::to_string);
        let name = name.or_else(|| fields.first().cloned()).unwrap_or_default();
        Ok(Checked { operation, variables, name, fields, document })
    }
}

impl Checked {
    /// Executes it: the answer's body, and what was refused.
    pub(crate) fn execute(&self, schema: &Valid<Schema>, shared: &Shared) -> Result<(Value, Vec<String>), Wrong> {
        let operation = self.document.operations.get(self.operation.as_deref());
        let operation = operation.map_err(|error| vec![error.message().to_string()])?;
        let what = if operation.is_mutation() { What::Mutation } else { What::Query };
        let answer = Execution::new(schema, &self.document)
            .operation(operation)
            .raw_variable_values(&self.variables)
            .enable_schema_introspection(true)
            .execute_sync(&Object { shared, what })
            .map_err(|error| vec![error.message().to_string()])?;
        let errors = answer.errors.iter().map(|error| error.message.clone()).collect();
        // An answer is made of JSON.
        Ok((serde_json::to_value(&answer).unwrap_or_default(), errors))
    }
}

/// The body that says what was wrong.
pub(crate) fn refused(wrong: &[String]) -> Value {
    let errors: Vec<Value> = wrong.iter().map(|message| json!({"message": message})).collect();
    json!({"errors": errors})
}
