use tokio::net::UnixListener;

use super::*;

type Server = (Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf);

const GREETING: &str = r#"{"QMP":{"version":{"qemu":{"major":10,"minor":0,"micro":2},"package":""},"capabilities":["oob"]}}"#;

async fn say(server: &mut Server, line: &str) {
    server.1.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
}

async fn hear(server: &mut Server) -> Value {
    serde_json::from_str(&server.0.next_line().await.unwrap().unwrap()).unwrap()
}

/// A client in command mode and the other end of its socket.
async fn pair() -> (Client, Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let accept = async {
        let (read, write) = listener.accept().await.unwrap().0.into_split();
        let mut server = (BufReader::new(read).lines(), write);
        say(&mut server, GREETING).await;
        let hello = hear(&mut server).await;
        assert_eq!(hello["execute"], "qmp_capabilities");
        say(&mut server, &format!(r#"{{"return":{{}},"id":{}}}"#, hello["id"])).await;
        server
    };
    let (client, server) = tokio::join!(Client::connect(&path), accept);
    (client.unwrap(), server, folder)
}

#[tokio::test]
async fn answers_in_any_order_reach_their_commands() {
    let (client, mut server, _folder) = pair().await;
    let serve = async {
        let (first, second) = (hear(&mut server).await, hear(&mut server).await);
        assert_eq!(first["arguments"]["n"], 1);
        for (request, n) in [(second, 2), (first, 1)] {
            let line = json!({ "return": { "n": n, "new-field": [] }, "id": request["id"] });
            say(&mut server, &line.to_string()).await;
        }
    };
    let (one, two, ()) = tokio::join!(
        client.execute("one", json!({ "n": 1 })),
        client.execute("two", json!({ "n": 2 })),
        serve
    );
    assert_eq!((one.unwrap()["n"].as_u64(), two.unwrap()["n"].as_u64()), (Some(1), Some(2)));
}

#[tokio::test]
async fn errors_reach_the_command_and_events_the_subscribers() {
    let (client, mut server, _folder) = pair().await;
    let mut events = client.events();
    let serve = async {
        let request = hear(&mut server).await;
        say(&mut server, r#"{"timestamp":{"seconds":1},"event":"STOP"}"#).await;
        say(&mut server, "not json").await;
        let error =
            json!({ "error": { "class": "GenericError", "desc": "no" }, "id": request["id"] });
        say(&mut server, &error.to_string()).await;
        say(&mut server, r#"{"event":"SHUTDOWN","data":{"guest":true},"more":1}"#).await;
    };
    let (result, ()) = tokio::join!(client.execute("cont", json!({})), serve);
    assert!(matches!(result.unwrap_err(), Error::Refused { desc, .. } if desc == "no"));
    assert_eq!(events.recv().await.unwrap().name, "STOP");
    assert_eq!(events.recv().await.unwrap().data["guest"], true);
}

#[tokio::test]
async fn closed_connection_fails_all_commands() {
    let (client, mut server, _folder) = pair().await;
    let serve = async {
        hear(&mut server).await;
        drop(server);
    };
    let (result, ()) = tokio::join!(client.execute("stop", json!({})), serve);
    assert!(matches!(result.unwrap_err(), Error::Closed { command } if command == "stop"));
    let later = client.execute("cont", json!({})).await.unwrap_err();
    assert!(matches!(later, Error::Closed { .. } | Error::Io(_)), "{later:?}");
}

#[tokio::test]
async fn unanswered_command_fails_at_its_deadline() {
    let (client, _server, _folder) = pair().await;
    let after = Duration::from_millis(50);
    let error = client.execute_within("stop", json!({}), after).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { command, .. } if command == "stop"));
    assert_eq!(client.pending.with(|pending| pending.len()), Some(0));
}

#[tokio::test]
async fn connect_rejects_a_peer_that_is_not_qemu() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-other\r\n").await.unwrap();
    };
    let (result, ()) = tokio::join!(Client::connect(&path), serve);
    assert!(matches!(result.unwrap_err(), Error::Greeting(_)));
}
