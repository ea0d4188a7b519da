use super::*;

fn at(text: &str) -> DateTime {
    read::date(text).unwrap_or_else(|| panic!("{text} should be a date"))
}

#[test]
fn date_is_read_in_every_form() {
    let noon = at("2020-04-07T14:53:14Z");
    for text in [
        "2020-04-07 14:53:14Z",
        "2020-04-07 14:53:14",
        "2020-04-07T14:53:14",
        "20200407T145314Z",
        "2020-04-07T16:53:14+02:00",
        "2020-04-07T14:53:14.0000000Z",
        "4/7/2020 2:53:14 PM",
        "04/07/2020 14:53:14",
        "Tue, 07 Apr 2020 14:53:14 GMT",
        " 2020-04-07T14:53:14Z ",
    ] {
        assert_eq!(read::date(text), Some(noon), "{text}");
    }
    assert_eq!(at("2020-04-07"), at("4/7/2020"));
    for text in ["", "soon", "2020-13-01", "4/31/2020", "13:00", "4/7/2020 13:00 PM", "4/7/2020 x"]
    {
        assert_eq!(read::date(text), None, "{text}");
    }
}

#[test]
fn duration_outside_of_iso_8601_is_refused() {
    for text in ["P1D", "-P9D", "PT1H", "P1Y2M3DT4H5M6S", "P2W", "PT0.5S", "+PT1M", "P0D"] {
        assert!(duration::parse(text).is_some(), "{text}");
    }
    for text in [
        "",
        "P",
        "PT",
        "P1",
        "1D",
        "P1DT",
        "P1H",
        "PT1D",
        "PTASDIONS1D",
        "P1D2Y",
        "P1D1D",
        "P-1D",
        "PT1.5H",
        "P1.5D",
        "PT1.S",
        "PT.5S",
        "p1d",
        "P99999999999999999999D",
        "--P1D",
    ] {
        assert!(duration::parse(text).is_none(), "{text}");
    }
}

#[test]
fn duration_goes_by_the_calendar() {
    for (base, duration, sum) in [
        ("2020-04-07T14:53:14Z", "P3Y", "2023-04-07T14:53:14Z"),
        ("2020-04-07T14:53:14Z", "-P9D", "2020-03-29T14:53:14Z"),
        ("2020-04-07T14:53:14Z", "PT1H", "2020-04-07T15:53:14Z"),
        ("2020-01-31T00:00:00Z", "P1M", "2020-02-29T00:00:00Z"),
        ("2020-02-29T00:00:00Z", "P1Y", "2021-02-28T00:00:00Z"),
        ("2020-12-31T23:59:59Z", "PT1.5S", "2021-01-01T00:00:00Z"),
        ("2020-01-01T00:00:00Z", "-PT1S", "2019-12-31T23:59:59Z"),
    ] {
        let span = duration::parse(duration).expect("a duration");
        let found = at(base).checked_add(span).expect("a date in range");
        assert_eq!(pattern::write(&found, ISO).as_deref(), Some(sum), "{base} {duration}");
    }
}

#[test]
fn formats_give_what_dotnet_gives() {
    let date = at("2019-03-05T14:08:09.1200000Z");
    for (format, text) in [
        ("d", "03/05/2019"),
        ("D", "Tuesday, 05 March 2019"),
        ("f", "Tuesday, 05 March 2019 14:08"),
        ("g", "03/05/2019 14:08"),
        ("G", "03/05/2019 14:08:09"),
        ("m", "March 05"),
        ("o", "2019-03-05T14:08:09.1200000Z"),
        ("R", "Tue, 05 Mar 2019 14:08:09 GMT"),
        ("s", "2019-03-05T14:08:09"),
        ("t", "14:08"),
        ("u", "2019-03-05 14:08:09Z"),
        ("Y", "2019 March"),
        ("", "03/05/2019 14:08:09"),
        ("yyyyMMddTHHmmssZ", "20190305T140809Z"),
        ("yyyy-MM-ddTHH:mm:ssZ", "2019-03-05T14:08:09Z"),
        ("d M yy h:m:s tt", "5 3 19 2:8:9 PM"),
        ("ddd dddd MMM MMMM", "Tue Tuesday Mar March"),
        ("ss.ff ss.FFF ss.fff", "09.12 09.12 09.120"),
        ("%d", "5"),
        ("%M", "3"),
        ("HH 'Uhr' \\d zzz K", "14 Uhr d +00:00 Z"),
        ("yyyyy", "02019"),
    ] {
        assert_eq!(pattern::write(&date, format).as_deref(), Some(text), "{format}");
    }
    let whole = at("2019-03-05T00:00:00Z");
    assert_eq!(pattern::write(&whole, "s.FFF|hh t").as_deref(), Some("0|12 A"));
    for format in ["x", "%", "yyyy%%", "'open", "yy\\", "ffffffff"] {
        assert_eq!(pattern::write(&date, format), None, "{format}");
    }
}
