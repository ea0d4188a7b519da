//! Functions at the edges of their rules: the documentation's examples, and what follows from .NET.

use arm_template::{Limits, Node, Place, Value};

use crate::world::World;

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

fn node(text: &str) -> Node {
    Node::parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The node of an expression without its brackets.
fn expression(text: &str) -> Node {
    Node::from_value(&Value::from(format!("[{text}]")), arm_template::Position::new(1, 1))
}

/// Checks pairs of an expression and its value as JSON.
fn check(cases: &[(&str, &str)]) {
    let world = World::new(SUBSCRIPTION, "rg");
    for (text, expected) in cases {
        match world.evaluate(&expression(text)) {
            Ok(found) => assert_eq!(found, node(expected).to_value(), "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

/// Checks pairs of an expression and a part of its error message.
fn check_errors(cases: &[(&str, &str)]) {
    let world = World::new(SUBSCRIPTION, "rg");
    for (text, part) in cases {
        match world.evaluate(&expression(text)) {
            Ok(found) => panic!("{text} gives {found:?}"),
            Err(error) => assert!(error.message.contains(part), "{text}: {error}"),
        }
    }
}

#[test]
fn strings_and_arrays_join_and_split() {
    check(&[
        ("concat('a', 1, true(), null())", "'a1True'"),
        ("concat('a')", "'a'"),
        ("concat(createArray(1), createArray())", "[1]"),
        ("concat(createArray())", "[]"),
        ("join(createArray(), ',')", "''"),
        ("join(createArray('a', null(), -1), '')", "'a-1'"),
        ("split('one;two,three', createArray(',', ';'))", "['one', 'two', 'three']"),
        ("split(',a,,', ',')", "['', 'a', '', '']"),
        ("split('', ',')", "['']"),
        ("split('abc', '')", "['abc']"),
        ("split('a--b-c', createArray('--', '-'))", "['a', 'b', 'c']"),
        ("replace('aAa', 'a', '')", "'A'"),
        ("padLeft('abc', 2, '0')", "'abc'"),
        ("padLeft(-5, 4, '0')", "'00-5'"),
        ("padLeft('00', 5, ' ')", "'   00'"),
        ("trim('\t a\u{a0}\n')", "'a'"),
        ("toUpper('straße')", "'STRAßE'"),
        ("toLower('AiKInIniIN')", "'aikininiin'"),
    ]);
    check_errors(&[
        ("concat('a', createArray())", "either all or none"),
        ("concat('a', createObject())", "'Object'"),
        ("join(createArray('a', createArray()), ',')", "'Array'"),
        ("join(createArray('a'), createObject())", "argument 2"),
        ("replace('abc', '', 'x')", "must not be empty"),
        ("padLeft('a', 5, '00')", "single character"),
        ("padLeft('a', 5, '')", "single character"),
        ("padLeft('a', -1)", "must not be negative"),
        ("padLeft(true(), 5)", "'String' or 'Integer'"),
        ("split('a', 1)", "argument 2"),
        ("split('a', createArray(1))", "array of strings"),
        ("trim(1)", "must be of type 'String', it is of type 'Integer'"),
        ("toUpper(createArray())", "'toUpper'"),
        ("concat()", "takes at least 1 argument(s), 0 given"),
    ]);
}

#[test]
fn parts_count_utf16_units() {
    check(&[
        ("length('a😀')", "3"),
        ("substring('a😀b', 1, 2)", "'😀'"),
        ("substring('abc', 3)", "''"),
        ("substring('abc', 0, 0)", "''"),
        ("indexOf('😀b', 'B')", "2"),
        ("lastIndexOf('food', 'o')", "2"),
        ("lastIndexOf(createArray('fizz', 'buzz', 'pop', 'fizz'), 'fizz')", "3"),
        ("lastIndexOf(createArray(), 'fizz')", "-1"),
        ("indexOf('abc', '')", "0"),
        ("take('😀b', 2)", "'😀'"),
        ("skip('😀b', 2)", "'b'"),
        ("take('abc', 9)", "'abc'"),
        ("take(createArray(1, 2), -1)", "[]"),
        ("skip(createArray(1, 2), 2)", "[]"),
        ("skip(createArray(1, 2), -2)", "[1, 2]"),
        ("first('')", "''"),
        ("last('')", "''"),
        ("empty('')", "true"),
        ("empty(null())", "true"),
        ("empty(createObject('a', 1))", "false"),
    ]);
    check_errors(&[
        (
            "substring('1234567890', 0, 11)",
            "The index and length parameters must refer to a location within the string. The index \
             parameter: '0', the length parameter: '11', the length of the string parameter: '10'",
        ),
        ("substring('abc', -1)", "must refer to a location"),
        ("substring('abc', 4)", "must refer to a location"),
        ("substring('abc', 1, -1)", "must refer to a location"),
        ("substring('abc', '1')", "'Integer'"),
        ("length(5)", "'length'"),
        ("length(null())", "'length'"),
        ("empty(1)", "'empty'"),
        ("take('abc', '2')", "argument 2"),
        ("first(1)", "'first'"),
    ]);
}

#[test]
fn search_differs_in_regard_to_case() {
    check(&[
        (
            "contains(createArray(createArray(1), createObject('a', 1)), createObject('a', 1))",
            "true",
        ),
        ("contains(createArray('FOO'), 'foo')", "false"),
        ("contains(createArray(1), '1')", "false"),
        ("contains('abc', '')", "true"),
        ("indexOf(createArray(createObject('a', 1)), createObject('a', 1))", "0"),
        ("startsWith('Ärger', 'äR')", "true"),
        ("startsWith('abc', '')", "true"),
        ("endsWith('abc', 'xabc')", "false"),
        ("like('Hello', 'h*O')", "true"),
        ("like('ab', 'a*b*b')", "false"),
        ("like('abc', 'b*')", "false"),
        ("like('', '')", "true"),
        ("like('aXbXc', '*X*X*')", "true"),
        ("like('a', '*a*a*')", "false"),
    ]);
    check_errors(&[
        ("contains('foo/bar', createObject())", "'contains'"),
        ("contains(1, 1)", "'String' or 'Array' or 'Object'"),
        ("indexOf('abc', createObject())", "argument 2"),
        ("endsWith('foo', createArray())", "argument 2"),
    ]);
}

#[test]
fn text_of_values_differs_between_string_and_format() {
    check(&[
        (
            "string(createObject('valueA', 10, 'valueB', 'Example Text'))",
            r#"'{"valueA":10,"valueB":"Example Text"}'"#,
        ),
        (
            "string(createArray('a', null(), true(), 'it''s', '\"'))",
            r#"'["a",null,true,"it\'s","\\""]'"#,
        ),
        ("string(null())", "''"),
        ("string(false())", "'False'"),
        ("string(json('1.50'))", "'1.5'"),
        ("format('{0}', createArray('it''s'))", r#""['it\\'s']""#),
        ("format('{0}|{0}', null())", "'|'"),
        ("format('{{0}} {{{0}}}', 1)", "'{0} {1}'"),
        ("format('no arguments')", "'no arguments'"),
        ("format('{0}/{1}/{2}/{3}', 1, 2, 3, true())", "'1/2/3/True'"),
        ("format('{1}{0}{1}', 'a', 'b')", "'bab'"),
    ]);
}

#[test]
fn format_follows_dotnet() {
    check(&[
        ("format('[{0,5}|{0,-5}|{1,3}]', 'ab', 7)", "'[   ab|ab   |  7]'"),
        ("format('{0:D3} {0:000} {1:D3}', 7, -7)", "'007 007 -007'"),
        ("format('{0:X} {0:x4} {1:X}', 255, -1)", "'FF 00ff FFFFFFFFFFFFFFFF'"),
        ("format('{0:N} {0:N0} {1:n1}', 1234567, -1234)", "'1,234,567.00 1,234,567 -1,234.0'"),
        ("format('{0:F} {0:f0} {0:F1}', 12)", "'12.00 12 12.0'"),
        ("format('{0:P0} {0:P}', 1)", "'100 % 100.00 %'"),
        ("format('{0:C} {1:C0}', 1234, -5)", "'¤1,234.00 (¤5)'"),
        ("format('{0:E} {0:e2} {0:E0}', 123456)", "'1.234560E+005 1.23e+005 1E+005'"),
        ("format('{0:G} {0:G2} {0:g3}', 123456)", "'123456 1.2E+05 1.23e+05'"),
        ("format('{0:E2} {0:G3}', 999999)", "'1.00E+006 1E+06'"),
        ("format('{0:B} {0:B8}', 5)", "'101 00000101'"),
        ("format('{0:#,##0.00} {0:0.0,}', 1234567)", "'1,234,567.00 1234567.0'"),
        // With a blank, it is a pattern without a place for digits.
        ("format('{0, 4:D2 }', 5)", "' D2 '"),
        ("format('{0:N0}', 'text')", "'text'"),
        ("format('{0:N0}', true())", "'True'"),
    ]);
    check_errors(&[
        (
            "format('->{123}<-', 123)",
            "Unable to evaluate language function 'format': the format is invalid: 'Index (zero \
             based) must be greater than or equal to zero and less than the size of the argument \
             list.'",
        ),
        ("format('{0}')", "less than the size of the argument list"),
        ("format('{', 1)", "the format is invalid"),
        ("format('}', 1)", "the format is invalid"),
        ("format('{a}', 1)", "the format is invalid"),
        ("format('{-1}', 1)", "the format is invalid"),
        ("format('{}', 1)", "the format is invalid"),
        ("format('{0:Q}', 1)", "the format is invalid"),
        ("format('{0,99999999}', 1)", "the format is invalid"),
        ("format(1)", "'format'"),
    ]);
}

#[test]
fn encodings_refuse_what_they_cannot_read() {
    check(&[
        ("base64('')", "''"),
        ("base64ToString('YWJj\nZA==')", "'abcd'"),
        ("base64ToString(base64('ü😀'))", "'ü😀'"),
        ("dataUri(5)", "'data:text/plain;charset=utf-8;base64,NQ=='"),
        ("dataUriToString('DATA:,a%20b')", "'a b'"),
        ("dataUriToString('data:application/json;base64,e30=')", "'{}'"),
        ("uriComponent('ü/~')", "'%C3%BC%2F~'"),
        ("uriComponentToString('a+b%')", "'a+b%'"),
        ("uriComponentToString('%C3%BC%FF%zz')", "'ü%FF%zz'"),
    ]);
    check_errors(&[
        (
            "base64ToString(concat(base64('abc'), '@'))",
            "The template language function 'base64ToString' was invoked with a parameter that is \
             not valid. The value cannot be decoded from base64 representation",
        ),
        ("base64ToString('YQ')", "cannot be decoded"),
        ("base64ToJson(base64('{'))", "'base64ToJson'"),
        (
            "dataUriToString(concat(dataUri('abc'), '@'))",
            "The template language function 'dataUriToString' was invoked with a parameter that is \
             not valid. The value cannot be converted to the target type",
        ),
        (
            "dataUriToString('Hi 0!')",
            "The template language function 'dataUriToString' expects its parameter to be formatted \
             as a valid data URI. The provided value 'Hi 0!' was not formatted correctly",
        ),
        ("uriComponent(123)", "'uriComponent'"),
    ]);
}

#[test]
fn json_takes_what_newtonsoft_takes() {
    check(&[
        (r#"json(' { "a" : [1, 2.5, true] } ')"#, r#"{"a": [1, 2.5, true]}"#),
        ("json('{''a'': ''b''}')", "{'a': 'b'}"),
        (r#"json('"test"')"#, "'test'"),
        ("json('// one\n{/* two */}')", "{}"),
        ("json('9223372036854775807')", "9223372036854775807"),
        ("json('-5')", "-5"),
        ("json('\"[concat(1)]\"')", "'[concat(1)]'"),
    ]);
    check_errors(&[("json('{')", "'json'"), ("json('')", "'json'"), ("json(1)", "'json'")]);
}

#[test]
fn uri_resolves_by_rfc_3986() {
    check(&[
        ("uri('http://contoso.org/firstpath', 'myscript.sh')", "'http://contoso.org/myscript.sh'"),
        ("uri('https://github.com', 'Azure/bicep')", "'https://github.com/Azure/bicep'"),
        ("uri('http://a/b/c/d;p?q', '../g?y#s')", "'http://a/b/g?y#s'"),
        ("uri('http://a/b/c/d;p?q', '../../../g')", "'http://a/g'"),
        ("uri('http://a/b/c/d;p?q', './')", "'http://a/b/c/'"),
        ("uri('http://a/b/c/d;p?q', '?y')", "'http://a/b/c/d;p?y'"),
        ("uri('http://a/b/c/d;p?q', '')", "'http://a/b/c/d;p?q'"),
        ("uri('http://a/b/c/d;p?q', '//g')", "'http://g/'"),
        ("uri('http://a/b/c', 'https://x/y')", "'https://x/y'"),
        ("uri('HTTPS://Example.COM:443/A', 'b')", "'https://example.com/b'"),
        ("uri('http://a:8080/x', 'y')", "'http://a:8080/y'"),
    ]);
    check_errors(&[
        (
            "uri('github.com', 'Azure/bicep')",
            "The template language function 'uri' expects its first argument to be a uri string. \
             The provided value is 'github.com'",
        ),
        ("uri('', 'a')", "'uri'"),
        ("uri('http://', 'a')", "'uri'"),
    ]);
}

#[test]
fn uri_is_parsed_and_built() {
    check(&[
        (
            "parseUri('https://example.com:8443/a/b?c=d')",
            "{'scheme': 'https', 'host': 'example.com', 'port': 8443, 'path': '/a/b', 'query': '?c=d'}",
        ),
        ("parseUri('http://[::1]:81/').port", "81"),
        ("parseUri('https://x').port", "443"),
        ("buildUri(parseUri('https://example.com/a?b=c'))", "'https://example.com/a?b=c'"),
        ("buildUri(createObject('scheme', 'https', 'host', 'x'))", "'https://x/'"),
        (
            "buildUri(createObject('scheme', 'https', 'host', 'x', 'port', 81, 'path', 'p', 'query', 'q=1'))",
            "'https://x:81/p?q=1'",
        ),
    ]);
    check_errors(&[
        ("parseUri('x')", "'parseUri'"),
        ("buildUri(createObject('scheme', 'https'))", "'host'"),
        ("buildUri(createObject('scheme', 'https', 'host', 'x', 'port', 'y'))", "'port'"),
    ]);
}

#[test]
fn arrays_and_objects_merge() {
    check(&[
        ("array(createArray())", "[]"),
        ("array(null())", "[null]"),
        ("union(createArray(1, 1), createArray('1', 1))", "[1, '1']"),
        (
            "union(createArray(createArray(1)), createArray(createArray(1), createArray()))",
            "[[1], []]",
        ),
        ("union(createObject('A', 1), createObject('a', 2))", "{'A': 2}"),
        (
            "union(createObject('a', 1), createObject('b', 2), createObject('a', null()))",
            "{'a': null, 'b': 2}",
        ),
        (
            "union(createObject('a', createObject('b', createObject('c', 1))), createObject('a', createObject('b', createObject('d', 2))))",
            "{'a': {'b': {'c': 1, 'd': 2}}}",
        ),
        ("union(createObject('a', createObject('b', 1)), createObject('a', 5))", "{'a': 5}"),
        ("intersection(createArray(3, 1, 2, 3), createArray(2, 3))", "[3, 2]"),
        ("intersection(createArray(1, 2), createArray(2, 3), createArray(4))", "[]"),
        (
            "intersection(createObject('one', 'a', 'two', 'b', 'three', 'c'), createObject('one', 'a', 'two', 'z', 'three', 'c'))",
            "{'one': 'a', 'three': 'c'}",
        ),
        ("shallowMerge(createArray())", "{}"),
        (
            "shallowMerge(createArray(createObject('a', createObject('b', 1)), createObject('a', createObject('c', 2))))",
            "{'a': {'c': 2}}",
        ),
        (
            "shallowMerge(createArray(createObject('a', 1), createObject('a', null())))",
            "{'a': null}",
        ),
        (
            "distinct(createArray(createObject('a', 1, 'b', 2), createObject('b', 2, 'a', 1), 1, '1'))",
            "[{'a': 1, 'b': 2}, 1, '1']",
        ),
        ("flatten(createArray(createArray(createArray(1)), createArray()))", "[[1]]"),
        ("createArray()", "[]"),
        ("range(-2, 3)", "[-2, -1, 0]"),
        ("length(range(0, 10000))", "10000"),
        ("range(2147483647, 0)", "[]"),
        ("indexFromEnd(createArray('a', 'b'), 2)", "'a'"),
        ("tryIndexFromEnd(createArray(), 1)", "null"),
        ("tryIndexFromEnd(createArray('a'), 0)", "null"),
    ]);
    check_errors(&[
        ("union(createArray(1), createObject())", "argument 2"),
        ("union(createArray(1))", "at least 2"),
        ("intersection(createObject(), createArray())", "argument 2"),
        ("shallowMerge(createArray(1))", "'Object'"),
        ("distinct('a')", "'distinct'"),
        ("flatten(createArray(1))", "'Array'"),
        ("range(0, 10001)", "between 0 and 10000"),
        ("range(0, -1)", "between 0 and 10000"),
        ("range(2147483647, 1)", "must not exceed 2147483647"),
        ("range(0, 'foo')", "argument 2"),
        ("indexFromEnd(createArray('a'), 2)", "out of bounds"),
        ("indexFromEnd(createArray('a'), 0)", "out of bounds"),
        ("createObject('a')", "pairs"),
        ("createObject(1, 2)", "argument 1"),
        ("max(1, 2, '3')", "'max'"),
        ("min(createArray())", "must not be empty"),
        ("min(1, 2, createObject())", "'min'"),
    ]);
}

#[test]
fn objects_are_listed_by_key() {
    check(&[
        ("items(createObject())", "[]"),
        ("objectKeys(json('{\"b\": 1, \"B\": 2, \"a\": 3, \"A\": 4}'))", "['a', 'A', 'b', 'B']"),
        (
            "objectKeys(createObject('a1', 1, 'a-1', 1, 'a_1', 1, 'ab', 1, 'a', 1))",
            "['a', 'a_1', 'a-1', 'a1', 'ab']",
        ),
        ("objectKeys(createObject('item10', 1, 'item2', 1))", "['item10', 'item2']"),
        ("items(createObject('b', null()))", "[{'key': 'b', 'value': null}]"),
        ("tryGet(null(), 'a')", "null"),
        ("tryGet(createObject('A', createArray(1, 2)), 'a', 1)", "2"),
        ("tryGet(createArray(1), -1)", "null"),
        ("tryGet(createObject('a', null()), 'a', 'b', 0)", "null"),
    ]);
    check_errors(&[
        ("items(createArray())", "'items'"),
        ("objectKeys('a')", "'objectKeys'"),
        ("tryGet(createArray(1), 'a')", "'tryGet'"),
        ("tryGet(createObject())", "at least 2"),
    ]);
}

#[test]
fn integers_have_64_bits() {
    check(&[
        ("add(json('9223372036854775806'), 1)", "9223372036854775807"),
        ("sub(-1, json('9223372036854775807'))", "-9223372036854775808"),
        ("div(-7, 2)", "-3"),
        ("mod(-7, 2)", "-1"),
        ("mod(7, -2)", "1"),
        ("int('-17')", "-17"),
        ("int(' 5 ')", "5"),
        ("int(json('2199023255552'))", "2199023255552"),
        ("max(-1)", "-1"),
        ("float('3.5')", "3.5"),
    ]);
    check_errors(&[
        ("add(json('9223372036854775807'), 1)", "The template language function 'add' overflowed"),
        ("sub(-2, json('9223372036854775807'))", "'sub' overflowed"),
        ("div(json('-9223372036854775808'), -1)", "'div' overflowed"),
        ("div(1, 0)", "'div' cannot divide by zero"),
        ("mod(1, 0)", "'mod' cannot divide by zero"),
        ("add('1', 2)", "'add'"),
        ("add(json('1.0'), 2)", "'Float'"),
        (
            "int('asdf')",
            "The template language function 'int' cannot convert provided value 'asdf' to integer \
             value",
        ),
        ("int('9223372036854775808')", "cannot convert"),
        ("int('1.5')", "cannot convert"),
        ("int('')", "cannot convert"),
        ("int(true())", "'int'"),
        ("float('x')", "'float'"),
    ]);
}

#[test]
fn logic_takes_booleans_only() {
    check(&[
        ("bool('TRUE')", "true"),
        ("bool('False')", "false"),
        ("bool(0)", "false"),
        ("equals(1, '1')", "false"),
        ("equals(null(), null())", "true"),
        ("equals(null(), '')", "false"),
        ("equals(createArray(1, 2), createArray(2, 1))", "false"),
        ("equals(createObject('a', 1, 'b', 2), createObject('b', 2, 'a', 1))", "true"),
        ("equals(createObject('a', 1), createObject('A', 1))", "false"),
        ("less('A', 'a')", "true"),
        ("less('Z', 'a')", "true"),
        ("less('a', 'ab')", "true"),
        ("less('\u{ffff}', '😀')", "false"),
        ("greaterOrEquals(2, 2)", "true"),
        ("or(false(), false(), true())", "true"),
        ("and(true(), true(), false())", "false"),
        ("or(true(), equals(1, div(1, 0)))", "true"),
        ("coalesce(null(), null())", "null"),
        ("coalesce(1, fail('no'))", "1"),
    ]);
    check_errors(&[
        (
            "bool('sdf')",
            "The template language function 'bool' was invoked with a parameter that is not valid. \
             The value cannot be converted to the target type",
        ),
        ("bool(2)", "'bool'"),
        ("bool('1')", "'bool'"),
        ("bool(null())", "'bool'"),
        ("not('true')", "'not'"),
        ("and(true(), 'true')", "'and'"),
        ("or(false())", "at least 2"),
        ("if('true', 1, 2)", "'if'"),
        ("less(1, 'a')", "'less'"),
        ("greater(true(), false())", "'greater'"),
        ("less(null(), 1)", "'less'"),
        ("fail('the reason')", "the reason"),
        ("true(1)", "takes 0 argument(s), 1 given"),
        ("nosuch(1)", "The template function 'nosuch' is not valid"),
        ("loadTextContent('a')", "'loadTextContent' is not supported: it exists in Bicep only"),
        ("extensions('k8s')", "'extensions' is not supported"),
    ]);
}

#[test]
fn dates_are_in_utc() {
    check(&[
        ("dateTimeAdd(dateTimeFromEpoch(1680224438), 'P1D')", "'2023-04-01T01:00:38Z'"),
        ("dateTimeAdd('2020-04-07 14:53:14Z', 'P3Y')", "'2023-04-07T14:53:14Z'"),
        ("dateTimeAdd('2020-04-07 14:53:14Z', '-P9D')", "'2020-03-29T14:53:14Z'"),
        ("dateTimeAdd('2020-04-07T23:00:00-02:00', 'PT1H', 'u')", "'2020-04-08 02:00:00Z'"),
        ("dateTimeAdd('20200407T145314Z', 'P1M', 'yyyy-MM')", "'2020-05'"),
        ("dateTimeFromEpoch(0)", "'1970-01-01T00:00:00Z'"),
        ("dateTimeFromEpoch(-1)", "'1969-12-31T23:59:59Z'"),
        ("dateTimeToEpoch('1969-12-31T23:59:59.5Z')", "-1"),
        ("dateTimeToEpoch('9999-12-31T23:59:59Z')", "253402300799"),
    ]);
    check_errors(&[
        (
            "dateTimeAdd(dateTimeFromEpoch(1680224438), 'PTASDIONS1D')",
            "The template function 'dateTimeAdd' has an invalid parameter. The second parameter \
             'PTASDIONS1D' is not a valid ISO8601 Duration string",
        ),
        ("dateTimeAdd('soon', 'P1D')", "'dateTimeAdd'"),
        ("dateTimeAdd('9999-12-31', 'P1D')", "years 1 to 9999"),
        ("dateTimeAdd('0001-01-01', '-P1D')", "years 1 to 9999"),
        ("dateTimeAdd('2020-01-01', 'P1D', 'x')", "'dateTimeAdd'"),
        ("dateTimeFromEpoch('adfasdf')", "'dateTimeFromEpoch'"),
        ("dateTimeFromEpoch(json('9223372036854775807'))", "years 1 to 9999"),
        ("dateTimeToEpoch('x')", "'dateTimeToEpoch'"),
        ("utcNow()", "The template function 'utcNow' is not expected at this location"),
    ]);
}

#[test]
fn utc_now_is_the_instant_of_the_deployment_in_defaults_only() {
    let mut world = World::new(SUBSCRIPTION, "rg");
    world.environment.place = Place::ParameterDefault;
    for (text, expected) in [
        ("utcNow()", "20200407T145314Z"),
        ("utcNow('u')", "2020-04-07 14:53:14Z"),
        ("utcNow('d')", "04/07/2020"),
        ("utcNow('M d')", "4 7"),
        ("format('a-{0}', utcNow('yyyy'))", "a-2020"),
    ] {
        assert_eq!(world.evaluate(&expression(text)), Ok(Value::from(expected)), "{text}");
    }
    assert!(world.evaluate(&expression("utcNow('x')")).is_err());
}

#[test]
fn networks_have_edges() {
    check(&[
        (
            "parseCidr('fdad:3236:5555::/48')",
            "{'network': 'fdad:3236:5555::', 'netmask': 'ffff:ffff:ffff::', 'firstUsable': \
             'fdad:3236:5555::', 'lastUsable': 'fdad:3236:5555:ffff:ffff:ffff:ffff:ffff', 'cidr': 48}",
        ),
        (
            "parseCidr('10.0.0.5/32')",
            "{'network': '10.0.0.5', 'netmask': '255.255.255.255', 'broadcast': '10.0.0.5', \
             'firstUsable': '10.0.0.5', 'lastUsable': '10.0.0.5', 'cidr': 32}",
        ),
        ("parseCidr('10.0.0.0/31').firstUsable", "'10.0.0.0'"),
        ("parseCidr('10.0.0.0/31').lastUsable", "'10.0.0.0'"),
        ("parseCidr('10.0.0.0/30').lastUsable", "'10.0.0.2'"),
        ("parseCidr('0.0.0.0/0').lastUsable", "'255.255.255.254'"),
        ("parseCidr('::/0').netmask", "'::'"),
        ("parseCidr('10.144.3.7/20').network", "'10.144.0.0'"),
        ("cidrSubnet('10.144.0.0/20', 20, 0)", "'10.144.0.0/20'"),
        ("cidrSubnet('10.144.0.0/20', 32, 4095)", "'10.144.15.255/32'"),
        ("cidrSubnet('0.0.0.0/0', 1, 1)", "'128.0.0.0/1'"),
        ("cidrSubnet('::/0', 128, 5)", "'::5/128'"),
        ("cidrSubnet('::/0', 0, 0)", "'::/0'"),
        ("cidrHost('10.144.3.0/24', 253)", "'10.144.3.254'"),
        ("cidrHost('fdad:3236:5555:3000::/52', 0)", "'fdad:3236:5555:3000::1'"),
    ]);
    check_errors(&[
        ("parseCidr('10.144.0.0')", "'parseCidr'"),
        ("parseCidr('10.144.0.0/33')", "'parseCidr'"),
        ("parseCidr('10.144.0/20')", "'parseCidr'"),
        ("parseCidr('10.0.0.0/+8')", "'parseCidr'"),
        ("parseCidr('::1/129')", "'parseCidr'"),
        ("parseCidr(1)", "'parseCidr'"),
        ("cidrSubnet('10.144.0.0/20', 19, 0)", "between 20 and 32"),
        ("cidrSubnet('10.144.0.0/20', 33, 0)", "between 20 and 32"),
        ("cidrSubnet('10.144.0.0/20', 24, 16)", "index 16"),
        ("cidrSubnet('10.144.0.0/20', 24, -1)", "index -1"),
        ("cidrHost('10.144.3.0/24', 254)", "index 254"),
        ("cidrHost('10.144.3.0/24', -1)", "index -1"),
        ("cidrHost('10.144.3.0/31', 0)", "index 0"),
        ("cidrHost('10.144.3.0/32', 0)", "index 0"),
    ]);
}

#[test]
fn hashes_take_strings() {
    check(&[
        ("guid('foo', 'bar', 'baz')", "'2ed86837-7c7c-5eaa-9864-dd077fd19b0d'"),
        ("equals(guid('a', 'b'), guid('a-b'))", "true"),
        ("uniqueString('')", "'aaaaaaaaaaaaa'"),
        ("equals(uniqueString('a'), uniqueString('A'))", "false"),
        ("uniqueString('rg-aib')", "'xg77zwa4pjdc2'"),
    ]);
    check_errors(&[
        ("guid(createObject())", "'guid'"),
        ("guid(1)", "'guid'"),
        ("uniqueString()", "at least 1"),
        ("uniqueString('a', null())", "argument 2"),
        ("uniqueString(padLeft('', 131073))", "131072"),
    ]);
}

#[test]
fn resource_ids_depend_on_the_scope() {
    let rg = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg");
    check(&[
        ("resourceId('A.B/c', 'd')", &format!("'{rg}/providers/A.B/c/d'")),
        (
            "resourceId('other', 'A.B/c', 'd')",
            &format!("'/subscriptions/{SUBSCRIPTION}/resourceGroups/other/providers/A.B/c/d'"),
        ),
        (
            "subscriptionResourceId('11111111-1111-1111-1111-111111111111', 'A.B/c', 'd')",
            "'/subscriptions/11111111-1111-1111-1111-111111111111/providers/A.B/c/d'",
        ),
        (
            "extensionResourceId(resourceId('A.B/c', 'd'), 'E.F/g/h', 'i', 'j')",
            &format!("'{rg}/providers/A.B/c/d/providers/E.F/g/i/h/j'"),
        ),
        ("extensionResourceId('/', 'E.F/g', 'i')", "'/providers/E.F/g/i'"),
        (
            "managementGroupResourceId('mg', 'A.B/c', 'd')",
            "'/providers/Microsoft.Management/managementGroups/mg/providers/A.B/c/d'",
        ),
    ]);
    check_errors(&[
        (
            "resourceId('Microsoft.Network/applicationGateways/httpListeners', 'a')",
            "Unable to evaluate template language function 'resourceId': the type \
             'Microsoft.Network/applicationGateways/httpListeners' requires '2' resource name \
             argument(s)",
        ),
        ("resourceId('A.B/c', 'd', 'e')", "requires '1' resource name argument(s)"),
        ("resourceId('a', 'b', 'c', 'A.B/c', 'd')", "fully qualified resource type"),
        ("resourceId('a', 'b')", "fully qualified resource type"),
        ("resourceId('A.B/c')", "at least 2"),
        ("resourceId('A.B/c', 5)", "argument 2"),
        ("tenantResourceId('x', 'A.B/c', 'd')", "'tenantResourceId'"),
        ("managementGroupResourceId('A.B/c', 'd')", "the deployment has no management group"),
    ]);
}

#[test]
fn resource_id_without_a_resource_group_is_that_of_the_subscription() {
    let mut world = World::new(SUBSCRIPTION, "rg");
    world.environment.resource_group = None;
    let other = "11111111-1111-1111-1111-111111111111";
    for (text, expected) in [
        (
            "resourceId('A.B/c', 'd')".to_owned(),
            format!("/subscriptions/{SUBSCRIPTION}/providers/A.B/c/d"),
        ),
        (
            format!("resourceId('{other}', 'A.B/c', 'd')"),
            format!("/subscriptions/{other}/providers/A.B/c/d"),
        ),
        (
            "resourceId('rg1', 'A.B/c', 'd')".to_owned(),
            format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg1/providers/A.B/c/d"),
        ),
    ] {
        assert_eq!(world.evaluate(&expression(&text)), Ok(Value::from(expected)), "{text}");
    }
    world.environment.subscription = None;
    let error = world.evaluate(&expression("resourceId('A.B/c', 'd')")).expect_err("no scope");
    assert!(error.message.contains("the deployment has no subscription"), "{error}");
}

#[test]
fn formats_may_be_wide() {
    check(&[
        ("length(format('{0:D70000}', -1))", "70001"),
        ("length(format('{0:X70000}{0:x70000}{0:B70000}', 1))", "210000"),
        ("length(format('{0:F70000}', 1))", "70002"),
        ("length(format('{0:E70000}', 12))", "70007"),
        ("length(format('{0,70000}', 1))", "70000"),
        ("length(format(concat('{0:', padLeft('', 70000, '0'), '}'), 1))", "70000"),
        ("length(dateTimeAdd('2020-01-01', 'P1D', padLeft('', 70000, 'y')))", "70000"),
    ]);
}

#[test]
fn results_beyond_the_limits_are_refused() {
    check_errors(&[
        ("padLeft('', 2000000000)", "exceeds the limit"),
        ("format('{0,999999}{0,999999}{0:D99999999}', 1)", "exceeds the limit"),
        (
            "length(reduce(range(0, 40), 'x', lambda('a', 'b', concat(lambdaVariables('a'), \
             lambdaVariables('a')))))",
            "exceeds the limit",
        ),
        (
            "length(reduce(range(0, 40), 'xx', lambda('a', 'b', replace(lambdaVariables('a'), 'x', \
             lambdaVariables('a')))))",
            "exceeds the limit",
        ),
        (
            "length(reduce(range(0, 40), createArray(1), lambda('a', 'b', \
             flatten(createArray(lambdaVariables('a'), lambdaVariables('a'))))))",
            "exceeds the limit",
        ),
    ]);
}
