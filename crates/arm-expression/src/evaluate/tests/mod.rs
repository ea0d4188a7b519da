mod bodies;
mod hostile;
mod lambdas;
mod names;
mod user_functions;

use std::{cell::RefCell, sync::Arc};

use jiff::Timestamp;

use super::*;
use crate::{
    limits::Limits,
    notation::read_value,
    value::{Object, same_name},
};

/// A deployment with parameters and variables, both as JSON.
struct Deployment {
    parameters: Object,
    /// Names and unevaluated values.
    variables: Node,
    functions: Vec<Arc<UserFunction>>,
    /// The calls of `reference`, in order.
    references: RefCell<Vec<Value>>,
    environment: Environment,
    budget: Budget,
}

impl Deployment {
    fn new(parameters: &str, variables: &str) -> Self {
        let limits = Limits::default();
        let parameters = read_value(parameters, &limits).expect("the parameters are JSON");
        Self {
            parameters: parameters.as_object().expect("the parameters are an object").clone(),
            variables: Node::parse(variables, &limits).expect("the variables are JSON"),
            functions: Vec::new(),
            references: RefCell::default(),
            environment: Environment {
                place: Place::Resource,
                now: Timestamp::UNIX_EPOCH,
                tenant: "t".into(),
                management_group: None,
                subscription: Some("s".into()),
                resource_group: Some("g".into()),
            },
            budget: Budget::new(limits),
        }
    }

    fn within(limits: Limits) -> Self {
        Self { budget: Budget::new(limits), ..Self::new("{}", "{}") }
    }

    fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self, &self.budget)
    }

    fn evaluated(&self, text: &str) -> Result<Evaluated, Error> {
        self.evaluator().text(&Text::new(text.into()), Position::new(3, 7))
    }

    fn value(&self, text: &str) -> Value {
        self.evaluated(text).unwrap_or_else(|error| panic!("{text}: {error}")).value
    }

    fn error(&self, text: &str) -> Error {
        match self.evaluated(text) {
            Ok(evaluated) => panic!("{text} gives {:?}", evaluated.value),
            Err(error) => error,
        }
    }

    /// The value of a tree with expressions.
    fn body(&self, json: &str) -> Result<Value, Error> {
        let node = Node::parse(json, &Limits::default()).expect("the body is JSON");
        self.evaluator().node(&node).map(|evaluated| evaluated.value)
    }
}

impl Context for Deployment {
    fn parameter(&self, name: &str) -> Result<Evaluated, Fault> {
        let value = self.parameters.get(name);
        let value = value.ok_or_else(|| Fault::new(format!("there is no parameter '{name}'")))?;
        Ok(Evaluated { value: value.clone(), secure: name.starts_with("secret") })
    }

    fn variable(&self, name: &str) -> Result<Evaluated, Fault> {
        let value = self.variables.get(name);
        let value = value.ok_or_else(|| Fault::new(format!("there is no variable '{name}'")))?;
        let result = self.evaluator().node(value);
        Ok(result.map_err(|error| error.within_key(name).within_key("variables"))?)
    }

    fn function(&self, name: &str) -> Option<Arc<UserFunction>> {
        self.functions.iter().find(|function| same_name(&function.name, name)).cloned()
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Evaluated, Fault>> {
        match name {
            "reference" => {
                self.references.borrow_mut().push(arguments[0].clone());
                Some(Err(Fault::of(Kind::Pending, "the resource does not exist yet")))
            }
            "listKeys" => Some(Ok(Evaluated { value: "key".into(), secure: true })),
            "resourceGroup" => {
                let group = Object::from_iter([("id", Value::from("/g"))]);
                Some(Ok(Value::from(group).into()))
            }
            _ => None,
        }
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }
}

fn json(text: &str) -> Value {
    read_value(text, &Limits::default()).expect("the expected value is JSON")
}

fn value(text: &str) -> Value {
    Deployment::new("{}", "{}").value(text)
}

fn message(text: &str) -> String {
    Deployment::new("{}", "{}").error(text).message
}

#[test]
fn conditional_evaluates_only_its_branch() {
    let deployment = Deployment::new("{}", "{}");
    assert_eq!(deployment.value("[if(true(), 'a', reference('x'))]"), "a".into());
    assert_eq!(deployment.value("[if(false(), reference('x'), null())]"), Value::Null);
    assert!(deployment.references.borrow().is_empty());
    assert_eq!(deployment.error("[if(true(), reference('x'), 'a')]").kind, Kind::Pending);
    assert_eq!(*deployment.references.borrow(), ["x".into()]);
}

#[test]
fn coalesce_stops_at_the_first_value() {
    let deployment = Deployment::new("{}", "{}");
    assert_eq!(deployment.value("[coalesce(null(), 1, reference('x'))]"), Value::Int(1));
    assert_eq!(deployment.value("[coalesce(null(), null())]"), Value::Null);
    assert!(deployment.references.borrow().is_empty());
}

#[test]
fn truth_stops_at_the_first_argument_that_decides() {
    for (text, expected) in [
        ("[and(true(), true(), true())]", true),
        ("[and(true(), false(), fail('x'))]", false),
        ("[or(false(), true(), fail('x'))]", true),
        ("[or(false(), false())]", false),
    ] {
        assert_eq!(value(text), expected.into(), "{text}");
    }
    for text in ["[and(true(), 'true')]", "[or(1, true())]", "[if('true', 1, 2)]", "[and(true())]"]
    {
        assert_eq!(Deployment::new("{}", "{}").error(text).kind, Kind::Evaluation, "{text}");
    }
}

#[test]
fn properties_and_elements_are_found() {
    let deployment = Deployment::new(
        r#"{"o": {"Name": "a", "a-b": [10, {"k": [true]}], "name": "b"}, "i": 1, "k": "NAME"}"#,
        "{}",
    );
    for (text, expected) in [
        ("[parameters('o').name]", json("'b'")),
        ("[parameters('o').nAME]", json("'a'")),
        ("[parameters('O')[parameters('k')]]", json("'a'")),
        ("[parameters('o')['a-b'][parameters('i')].k[0]]", json("true")),
        ("[parameters('o')['a-b'][0]]", json("10")),
    ] {
        assert_eq!(deployment.value(text), expected, "{text}");
    }
}

#[test]
fn missing_properties_and_elements_are_named() {
    let deployment = Deployment::new(r#"{"o": {"a": [1, 2], "b": null}, "s": "text"}"#, "{}");
    for (text, part) in [
        (
            "[parameters('o').x]",
            "The language expression property 'x' doesn't exist, available properties are 'a, b'",
        ),
        ("[concat('a', parameters('o').x)]", "The language expression property 'x' doesn't exist"),
        ("[parameters('o').a[2]]", "array index '2' is out of bounds, the array has 2 element(s)"),
        ("[parameters('o').a[-1]]", "array index '-1' is out of bounds"),
        (
            "[parameters('o').b.c]",
            "property 'c' can't be evaluated, the value before it is of type 'Null'",
        ),
        ("[parameters('o')[0]]", "array index '0' can't be evaluated"),
        ("[parameters('o').a.length]", "property 'length' can't be evaluated"),
        ("[parameters('s')[0]]", "of type 'String'"),
        ("[parameters('o')[true()]]", "of type 'Boolean'"),
        ("[true()[false()]]", "of type 'Boolean'"),
    ] {
        let error = deployment.error(text);
        assert!(error.message.contains(part), "{text}: {error}");
        assert_eq!(error.position, Some(Position::new(3, 7)));
        assert_eq!((error.kind, error.function), (Kind::Evaluation, None));
    }
}

#[test]
fn error_names_the_innermost_function_and_the_place() {
    let error = Deployment::new("{}", "{}").error("[concat('a', string(not(1)))]");
    assert_eq!(error.function.as_deref(), Some("not"));
    assert_eq!(
        error.to_string(),
        "Unable to evaluate template language function 'not': argument 1 must be of type 'Boolean', \
         it is of type 'Integer' (at line '3' and column '7')"
    );
}

#[test]
fn unknown_functions_are_named() {
    for (text, part) in [
        ("[nothing(1)]", "The template function 'nothing' is not valid"),
        ("[contoso.nothing()]", "The template function 'contoso.nothing' is not valid"),
        ("[loadTextContent('a')]", "The template function 'loadTextContent' is not supported"),
        ("[deployer()]", "The template function 'deployer' is not valid"),
    ] {
        let error = Deployment::new("{}", "{}").error(text);
        assert_eq!(error.kind, Kind::Unsupported, "{text}");
        assert!(error.message.starts_with(part), "{text}: {error}");
        assert_eq!(error.position, Some(Position::new(3, 7)));
    }
}

#[test]
fn literals_are_not_evaluated() {
    for (text, expected) in [("[[a]", "[a]"), ("[a", "[a"), ("", ""), ("['[[x]']", "[[x]")] {
        assert_eq!(value(text), expected.into());
    }
}
