#include "base/http/head_check.h"

#include <gtest/gtest.h>

#include "base/http/request_parser.h"

namespace quire::http {
namespace {

struct Case {
  const char* name;
  std::string head;
  std::optional<Rule> refusal;
};

std::string GetWith(const std::string& headers, const std::string& target = "/v1/models") {
  return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n";
}

std::string Post(const std::string& headers) {
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: a:80\r\n" + headers + "\r\n";
}

std::vector<Case> Cases() {
  const Rule transfer = Rule::kTransferEncoding, length = Rule::kContentLength;
  return {
      {"plain", GetWith(""), std::nullopt},
      {"query", GetWith("", "/v1/models?a=%20b"), std::nullopt},
      {"post", Post("Content-Length: 5\r\n"), std::nullopt},
      {"chunked", Post("Transfer-Encoding: Chunked\r\n"), std::nullopt},
      {"no host on 1.0", "GET / HTTP/1.0\r\n\r\n", std::nullopt},
      {"expect", Post("Expect: 100-Continue\r\nContent-Length: 1\r\n"), std::nullopt},
      {"gzip then length", Post("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n"), transfer},
      {"length then gzip", Post("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n"), transfer},
      {"chunked then length", Post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), transfer},
      {"a length, and chunked in a value", Post("X: transfer-encoding:\r\nContent-Length: 5a\r\n"), length},
      {"length then chunked", Post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), transfer},
      {"chunked on 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", transfer},
      {"chunked, identity", Post("Transfer-Encoding: chunked, identity\r\n"), transfer},
      {"gzip, chunked", Post("Transfer-Encoding: gzip, chunked\r\n"), transfer},
      {"two chunked", Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), transfer},
      {"length list", Post("Content-Length: 5, 5\r\n"), length},
      {"equal lengths", Post("Content-Length: 5\r\nContent-Length: 5\r\n"), length},
      {"signed length", Post("Content-Length: +5\r\n"), length},
      {"length 2^64", Post("Content-Length: 18446744073709551616\r\n"), length},
      {"length of 40 digits", Post("Content-Length: " + std::string(40, '0') + "\r\n"), length},
      {"two hosts", GetWith("Host: b\r\n"), Rule::kHost},
      {"no host", "GET / HTTP/1.1\r\n\r\n", Rule::kHost},
      {"host with a path", "GET / HTTP/1.1\r\nHost: a/?x=#\r\n\r\n", Rule::kHost},
      {"two authorizations", GetWith("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"),
       Rule::kAuthorization},
      {"NUL in a value", GetWith(std::string("Authorization: a\0b\r\n", 20)), Rule::kControlByte},
      {"fold", GetWith("X: a\r\n b\r\n"), Rule::kObsFold},
      {"bare LF", "GET / HTTP/1.1\nHost: a\n\n", Rule::kControlByte},
      {"bare CR", GetWith("X: a\rb\r\n"), Rule::kControlByte},
      {"space before colon", GetWith("X : a\r\n"), Rule::kSyntax},
      {"an empty line before", std::string("\r\n") + GetWith(""), std::nullopt},
      {"two empty lines before", std::string("\r\n\r\n") + GetWith(""), Rule::kSyntax},
      {"a bare LF before", std::string("\n") + GetWith(""), Rule::kSyntax},
      {"TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01", 8), Rule::kSyntax},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", Rule::kVersion},
      {"absolute target", GetWith("", "http://b:80/v1/models"), std::nullopt},
      {"absolute target of no path", GetWith("", "HTTPS://b?x=1"), Rule::kTarget},
      {"absolute target of no host", GetWith("", "http:///v1/models"), Rule::kTarget},
      {"absolute target with a user", GetWith("", "http://me@b/v1/models"), Rule::kTarget},
      {"absolute target of dots", GetWith("", "http://b/v1/../admin"), Rule::kTarget},
      {"target of another scheme", GetWith("", "ftp://b/v1/models"), Rule::kTarget},
      {"authority target", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Rule::kTarget},
      {"asterisk target", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", Rule::kTarget},
      {"OPTIONS of all", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", std::nullopt},
      {"double slash", GetWith("", "//v1/models"), Rule::kTarget},
      {"dot segment", GetWith("", "/v1/../admin"), Rule::kTarget},
      {"last dot segment", GetWith("", "/v1/."), Rule::kTarget},
      {"encoded dots", GetWith("", "/v1/%2E%2e/admin"), Rule::kTarget},
      {"encoded NUL", GetWith("", "/v1/models%00"), Rule::kTarget},
      {"fragment", GetWith("", "/v1/models#a"), Rule::kTarget},
      {"8-bit target", GetWith("", "/v1/\xc3\xa9"), Rule::kTarget},
      {"expect that and else", Post("Expect: 100-continue\r\nExpect: a\r\nContent-Length: 1\r\n"),
       Rule::kExpectation},
      {"expect else", Post("Expect: 200-ok\r\nContent-Length: 1\r\n"), Rule::kExpectation},
      {"head too large", GetWith("X: " + std::string(64 << 10, 'a') + "\r\n"), Rule::kHeadTooLarge},
  };
}

TEST(HeadCheckTest, EveryShapeGetsItsRule) {
  const HttpLimits limits;
  for (const Case& c : Cases()) {
    RequestParser parser(limits);
    parser.ReadHead(c.head);
    EXPECT_EQ(parser.head_done(), !c.refusal) << c.name;
    const char* label = parser.refusal() ? LabelOf(*parser.refusal()) : "none";
    EXPECT_STREQ(label, c.refusal ? LabelOf(*c.refusal) : "none") << c.name;
  }
}

TEST(HeadCheckTest, TheVerdictDoesNotDependOnHowTheBytesArrive) {
  const HttpLimits limits;
  for (const Case& c : Cases()) {
    RequestParser parser(limits);
    for (size_t size = 1; size <= c.head.size() && !parser.refusal() && !parser.head_done(); ++size) {
      parser.ReadHead(std::string_view(c.head).substr(0, size));
    }
    EXPECT_EQ(parser.refusal(), c.refusal) << c.name;
  }
}

TEST(HeadCheckTest, AnAbsoluteTargetIsItsPath) {
  const HttpLimits limits;
  for (const auto& [target, path] : {std::pair{"http://b:80/v1/models?a=1", "/v1/models"},
                                     {"Http://[::1]:8000/a", "/a"},
                                     {"https://b", "/"}}) {
    RequestParser parser(limits);
    parser.ReadHead(GetWith("", target));
    EXPECT_EQ(parser.head().path, path);
  }
}

TEST(HeadCheckTest, ListsAreOneHoweverManyHeadersTheyFill) {
  const HttpLimits limits;
  RequestParser parser(limits);
  parser.ReadHead(GetWith("Content-Encoding: GZip, , br\r\nContent-Encoding:\r\nContent-Encoding: x\r\n"));
  EXPECT_EQ(parser.head().List("content-encoding"), (std::vector<std::string>{"gzip", "br", "x"}));
}

TEST(HeadCheckTest, CountsHeaders) {
  HttpLimits limits;
  limits.headers = 3;
  RequestParser three(limits), four(limits);
  three.ReadHead(GetWith("A: 1\r\nB: 2\r\n"));
  EXPECT_TRUE(three.head_done());
  four.ReadHead(GetWith("A: 1\r\nB: 2\r\nC: 3\r\n"));
  EXPECT_EQ(four.refusal(), Rule::kTooManyHeaders);
}

// Feeds a whole chunked request in pieces and returns its body, or "" where it was refused.
std::string ReadChunked(const HttpLimits& limits, const std::string& body, size_t piece,
                        std::optional<Rule>* refusal) {
  RequestParser parser(limits);
  const std::string head = Post("Transfer-Encoding: chunked\r\n");
  EXPECT_EQ(parser.ReadHead(head), head.size());
  std::string waiting;
  for (size_t at = 0; at < body.size() && !parser.body_done() && !parser.refusal(); at += piece) {
    waiting += body.substr(at, piece);
    waiting.erase(0, parser.ReadBody(waiting));
  }
  *refusal = parser.refusal();
  return parser.body_done() ? parser.TakeBody() : "";
}

TEST(RequestParserTest, ReadsChunksInAnyPieces) {
  const HttpLimits limits;
  const std::string body = "5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: a\r\n\r\n";
  for (size_t piece = 1; piece <= body.size(); ++piece) {
    std::optional<Rule> refusal;
    EXPECT_EQ(ReadChunked(limits, body, piece, &refusal), "hello!") << piece;
    EXPECT_EQ(refusal, std::nullopt) << piece;
  }
}

TEST(RequestParserTest, RefusesFloodsOfFraming) {
  const HttpLimits limits;
  std::string trailers = "0\r\n", extensions, huge = "ffffffffffffffffff\r\n";
  for (int i = 0; i < 20'000; ++i) trailers += "A: b\r\n";
  for (int i = 0; i < 100; ++i) extensions += "1;" + std::string(4096, 'x') + "\r\na\r\n";
  for (const std::string& body : {trailers, extensions, huge, std::string("5\nhello\r\n")}) {
    std::optional<Rule> refusal;
    ReadChunked(limits, body, 1000, &refusal);
    EXPECT_EQ(refusal, Rule::kChunking) << body.substr(0, 10);
  }
}

TEST(RequestParserTest, BoundsTheBody) {
  HttpLimits limits;
  limits.body_bytes = 10;
  std::optional<Rule> refusal;
  EXPECT_EQ(ReadChunked(limits, "a\r\n0123456789\r\n0\r\n\r\n", 100, &refusal), "0123456789");
  ReadChunked(limits, "b\r\n0123456789a\r\n0\r\n\r\n", 100, &refusal);
  EXPECT_EQ(refusal, Rule::kBodyTooLarge);
  RequestParser parser(limits);
  parser.ReadHead(Post("Content-Length: 1000000000\r\n"));
  ASSERT_TRUE(parser.head_done());
  parser.ReadBody("");
  EXPECT_EQ(parser.refusal(), Rule::kBodyTooLarge);
}

}  // namespace
}  // namespace quire::http
