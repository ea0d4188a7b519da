//! User functions from their declarations.

use std::{collections::HashMap, sync::Arc};

use super::{
    reading::{self, wrong},
    types::{Definitions, Type},
};
use arm_expression::{Check, Error, Member, Members, Node, UserFunction, UserParameter, fold_name};

/// The functions of a template by their folded names.
pub(super) fn read(
    template: &Node,
    definitions: &Arc<Definitions>,
    isolated: bool,
) -> Result<HashMap<String, Arc<UserFunction>>, Error> {
    let mut functions = HashMap::new();
    for (index, group) in reading::items(template, "functions")?.iter().enumerate() {
        let read = || {
            let namespace =
                reading::literal_text(reading::required(group, "namespace")?, "namespace")?;
            for member in
                reading::members(group, "members")?.map(Members::iter).into_iter().flatten()
            {
                let function = function(member, &namespace, definitions, isolated)
                    .map_err(|e| e.within_key(member.key.raw()).within_key("members"))?;
                if functions
                    .insert(fold_name(&function.name).into_owned(), Arc::new(function))
                    .is_some()
                {
                    let message = format!(
                        "The template has two functions '{namespace}.{}'",
                        member.key.raw()
                    );
                    return Err(wrong(&member.value, message));
                }
            }
            Ok(())
        };
        let mut read = read;
        read().map_err(|error: Error| error.within_index(index).within_key("functions"))?;
    }
    Ok(functions)
}

fn function(
    member: &Member,
    namespace: &str,
    definitions: &Arc<Definitions>,
    isolated: bool,
) -> Result<UserFunction, Error> {
    let node = &member.value;
    let output = reading::required(node, "output")?;
    let parameters = reading::items(node, "parameters")?;
    let parameter = |declaration: &Node| {
        let name = reading::literal_text(reading::required(declaration, "name")?, "name")?;
        Ok(UserParameter { name, check: check(declaration, definitions)? })
    };
    Ok(UserFunction {
        name: format!("{namespace}.{}", member.key.raw()).into(),
        parameters: parameters.iter().map(parameter).collect::<Result<_, Error>>()?,
        body: reading::required(output, "value")?.clone(),
        check: check(output, definitions).map_err(|error| error.within_key("output"))?,
        isolated,
    })
}

fn check(declaration: &Node, definitions: &Arc<Definitions>) -> Result<Check, Error> {
    let of = Type::read(declaration).map_err(|fault| fault.at(Some(declaration.position)))?;
    let definitions = definitions.clone();
    Ok(Box::new(move |value| definitions.check(value, &of).map(|_secure| ())))
}
