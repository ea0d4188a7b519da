//! Random streams: nothing panics, nothing is lost, pieces do not matter, little is held.

use proptest::prelude::*;

use super::*;

/// What streams are made of, and random bytes.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "#< CLIXML\r\n",
        "#< CLIXML\n",
        "#< CLI",
        "<Objs Version=\"1.1.0.1\" xmlns=\"http://schemas.microsoft.com/powershell/2004/04\">",
        "<Objs>",
        "</Objs>",
        "<S S=\"Error\">",
        "<S S=\"warning\">",
        "<S>",
        "</S>",
        "<Obj S=\"progress\" RefId=\"0\">",
        "<Obj S=\"information\">",
        "<ToString>",
        "</ToString>",
        "</Obj>",
        "<T>",
        "</T>",
        "<Nil />",
        "_x000D__x000A_",
        "_xD83D_",
        "_xDE00_",
        "_x005F_",
        "_x00",
        "&lt;",
        "&#x41;",
        "&am",
        "\r\n",
        "text",
        "\u{e4}",
        "<",
        ">",
        "#",
        "_",
        "&",
    ]);
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => (0..70_000_usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(part(), 0..40).prop_map(|parts| parts.concat())
}

fn whole(stream: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new();
    let mut out = decoder.push(stream);
    out.extend(decoder.finish());
    out
}

proptest! {
    #[test]
    fn pieces_give_what_the_whole_gives(
        stream in stream(),
        cuts in prop::collection::vec(1..200_usize, 1..60),
    ) {
        let mut decoder = Decoder::new();
        let mut out = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at(rest.len().min(*cut));
            out.extend(decoder.push(piece));
            prop_assert!(decoder.held.len() <= 4096 + 16, "{} bytes held", decoder.held.len());
            rest = more;
        }
        out.extend(decoder.finish());
        prop_assert!(out == whole(&stream));
    }

    #[test]
    fn text_without_a_header_is_itself(stream in stream()) {
        let mut text = stream;
        text.retain(|byte| *byte != b'#');
        prop_assert!(whole(&text) == text);
    }

    #[test]
    fn errors_come_back(text in any::<String>()) {
        let mut escaped = String::new();
        for unit in text.encode_utf16() {
            escaped.push_str(&format!("_x{unit:04X}_"));
        }
        let stream = format!("#< CLIXML\r\n<Objs><S S=\"Error\">{escaped}</S></Objs>");
        prop_assert!(whole(stream.as_bytes()) == text.as_bytes());
    }

    #[test]
    fn output_is_no_more_than_a_few_times_the_input(stream in stream()) {
        // `<S>` is the shortest tag that adds text: a stream's name and a line end.
        prop_assert!(whole(&stream).len() <= stream.len() * 3);
    }
}
