//! Verification as a server of its own: asked by a gateway, and by what was built for the seed systems.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Parser;
use gateway::verify::proto::seeds::varify_service_client::VarifyServiceClient;
use gateway::verify::proto::seeds::verification_service_client::VerificationServiceClient;
use gateway::verify::proto::seeds::{GetVarifyReq, GetVerificationRequest};
use gateway::{VerifyArgs, VerifyBound};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::codegen::tokio_stream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::system::{Browser, System, other};

pub(crate) struct VerifyServer {
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl VerifyServer {
    pub(crate) fn start(more: &[&str]) -> Self {
        let args = ["verify-server", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let args = VerifyArgs::parse_from(args.iter().chain(more));
        let bound = VerifyBound::new(&args).unwrap();
        let (grpc, admin) = (bound.grpc_address().unwrap(), bound.admin_address().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        Self { grpc, admin, stop, served }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_gateway_registers_with_the_codes_of_a_verification_server() {
    let server = VerifyServer::start(&["--development"]);
    let system = System::new().start(&["--verify", &server.url()]);
    let mut browser = system.connect().await;
    let email = "carol@example.org";
    let code = browser.code(email).await;
    let account = |code: &str| json!({"username": "carol", "password": "correct horse", "email": email, "cpatcha": code});
    let path = "/post_registration";
    let again =
        browser.send("POST", "/get_verification", json!({"email": email}).to_string().into()).await;
    assert_eq!((again.status, again.error()), (429, 2));
    assert!(again.retry_after.is_some_and(|seconds| (10..=21).contains(&seconds)), "{again:?}");
    assert_eq!(browser.error(path, account(other(&code))).await, 13);
    assert_eq!(browser.error(path, account(&code)).await, 0);
    assert_eq!(browser.error(path, account(&code)).await, 12, "used up");
    let page = Browser::connect(server.admin).await.send("GET", "/metrics", vec![]).await.text;
    let line = "ringline_verify_rate_refusals_total{bound=\"code_resend\"} 1";
    assert!(page.lines().any(|shown| shown == line), "{page}");

    server.stop().await;
    let begun = Instant::now();
    let lost = browser.post("/get_verification", json!({"email": "d@example.org"})).await;
    assert_eq!(lost["error"], 3, "{lost}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(browser.error(path, account("123456")).await, 3);
    assert_eq!(browser.send("GET", "/healthz", vec![]).await.status, 503);
    system.stop().await;
}

#[tokio::test]
async fn a_verification_server_that_hangs_costs_a_check_its_deadline_and_no_more() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let system = System::new().start(&["--verify", &url]);
    let mut browser = system.connect().await;
    let begun = Instant::now();
    let account = json!({"username": "carol", "password": "correct horse", "email": "c@example.org", "cpatcha": "123456"});
    assert_eq!(browser.error("/post_registration", account).await, 3);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    system.stop().await;
}

#[tokio::test]
async fn both_seeds_methods_send_codes_and_show_them_in_development_only() {
    let dir = tempfile::tempdir().unwrap();
    let mails = ["--mail-dir", dir.path().to_str().unwrap(), "--mail-from", "codes@example.org"];
    for (args, shows) in [(&["--development"][..], true), (&mails, false)] {
        let server = VerifyServer::start(args);
        let mut dims = VerificationServiceClient::connect(server.url()).await.unwrap();
        let email = "a@example.org".to_owned();
        let asked = GetVerificationRequest { email: email.clone() };
        let sent = dims.get_verification_code(asked.clone()).await.unwrap().into_inner();
        assert_eq!((sent.error, &sent.email), (0, &email));
        assert_eq!(sent.message.len(), if shows { 6 } else { 0 }, "{sent:?}");
        let again = dims.get_verification_code(asked).await.unwrap().into_inner();
        assert_eq!(again.error, 1, "{again:?}");
        assert!(again.message.contains("a moment ago"), "{again:?}");
        let bad = GetVerificationRequest { email: "nobody".to_owned() };
        assert_eq!(dims.get_verification_code(bad).await.unwrap().into_inner().error, 2);

        let mut chatter = VarifyServiceClient::connect(server.url()).await.unwrap();
        let asked = GetVarifyReq { email: "b@example.org".to_owned() };
        let sent = chatter.get_varify_code(asked).await.unwrap().into_inner();
        assert_eq!((sent.error, sent.code.len()), (0, if shows { 6 } else { 0 }), "{sent:?}");
        server.stop().await;
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "a mail for each address");
}

#[tokio::test]
async fn a_gateway_can_be_the_verification_server_of_another() {
    let first = System::new().start(&["--development", "--verify-listen", "127.0.0.1:0"]);
    let url = format!("http://{}", first.verify.unwrap());
    let second = System::new().start(&["--verify", &url]);
    let code = second.connect().await.code("erin@example.org").await;
    let account = json!({"username": "erin", "password": "correct horse", "email": "erin@example.org", "cpatcha": code});
    assert_eq!(second.connect().await.error("/post_registration", account.clone()).await, 0);
    assert_eq!(first.connect().await.error("/post_registration", account).await, 12, "used up");
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn any_tool_can_ask_what_it_serves_and_whether_it_is_well() {
    let server = VerifyServer::start(&["--development"]);
    let channel = tonic::transport::Endpoint::from_shared(server.url()).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for service in [
        "",
        "message.VerificationService",
        "message.VarifyService",
        "ringline.verification.v1.Codes",
    ] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(asked).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let answers = reflection.server_reflection_info(tokio_stream::once(asked)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.iter().map(|it| it.name.as_str()).collect();
    for name in
        ["message.VerificationService", "message.VarifyService", "ringline.verification.v1.Codes"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert_eq!(
        Browser::connect(server.admin).await.send("GET", "/healthz", vec![]).await.text,
        "ok\n"
    );
    server.stop().await;
}
