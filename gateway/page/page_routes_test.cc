#include "gateway/page/page_routes.h"

#include <gmock/gmock.h>

#include <set>

#include "base/http/test_server.h"

namespace quire::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr PageFile kSome[] = {
    {.name = "index.html", .etag = "\"i1\"", .content = "<p>index"},
    {.name = "docs.html", .etag = "\"d1\"", .content = "<p>docs"},
    {.name = "a.js", .etag = "\"a1\"", .content = "export {};"},
    {.name = "a.css", .etag = "\"c1\"", .content = "p {}"},
    {.name = "a.svg", .etag = "\"s1\"", .content = "<svg/>"},
};

class PageRoutesTest : public http::HttpTest {
 protected:
  void SetUp() override {
    http::HttpTest::SetUp();
    AddPageRoutes(routes_, kSome);
    Start();
  }
  http::TestReply Get(const std::string& path, const std::string& headers = "") {
    return Call(Request("GET", path, headers));
  }
};

TEST_F(PageRoutesTest, EachFileHasItsPathAndItsType) {
  struct Case {
    const char* path;
    const char* body;
    const char* type;
  };
  for (const auto& [path, body, type] : {Case{"/", "<p>index", "text/html; charset=utf-8"},
                                         Case{"/?x=1", "<p>index", "text/html; charset=utf-8"},
                                         Case{"/docs", "<p>docs", "text/html; charset=utf-8"},
                                         Case{"/page/a.js", "export {};", "text/javascript; charset=utf-8"},
                                         Case{"/page/a.css", "p {}", "text/css; charset=utf-8"},
                                         Case{"/page/a.svg", "<svg/>", "image/svg+xml"}}) {
    const http::TestReply reply = Get(path);
    EXPECT_EQ(reply.status, 200) << path;
    EXPECT_EQ(reply.body, body) << path;
    EXPECT_EQ(reply.Header("content-type"), type) << path;
    EXPECT_EQ(reply.Header("cache-control"), "no-cache") << path;
    EXPECT_EQ(reply.Header("x-content-type-options"), "nosniff") << path;
    EXPECT_EQ(reply.Header("referrer-policy"), "no-referrer") << path;
    EXPECT_THAT(reply.Header("content-security-policy"),
                StartsWith("default-src 'none'; script-src 'self';"));
    EXPECT_THAT(reply.Header("content-security-policy"), HasSubstr("img-src 'self'; "));
    EXPECT_THAT(reply.Header("content-security-policy"), HasSubstr("frame-ancestors 'none'"));
  }
}

TEST_F(PageRoutesTest, NothingElseIsThere) {
  for (const char* path : {"/index", "/index.html", "/docs.html", "/docs/", "/page", "/page/",
                           "/page/index.html", "/page/b.js", "/page/a.js/", "/page/A.js", "/a.js"}) {
    const http::TestReply reply = Get(path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_THAT(reply.body, HasSubstr("no_route")) << path;
  }
  EXPECT_EQ(Call(Request("POST", "/", "Content-Length: 0\r\n")).status, 405);
}

TEST_F(PageRoutesTest, AFileThatTheAskerHasIsNotSentAgain) {
  EXPECT_EQ(Get("/page/a.js").Header("etag"), "\"a1\"");
  for (const char* has : {"\"a1\"", "W/\"a1\"", "\"x\", \"a1\"", "*"}) {
    http::TestClient client(server_->port());
    client.Send(Request("GET", "/page/a.js", std::string("If-None-Match: ") + has + "\r\n") +
                Request("GET", "/"));
    http::TestReplies replies(client);
    const http::TestReply reply = replies.Next();
    EXPECT_EQ(reply.status, 304) << has;
    EXPECT_EQ(reply.Header("etag"), "\"a1\"");
    EXPECT_EQ(reply.Header("content-length"), "") << "it would be that of a body";
    EXPECT_EQ(replies.Next().body, "<p>index") << "the connection is in step";
  }
  for (const char* other : {"\"a2\"", "a1", "\"A2\"", "\"i1\""}) {
    EXPECT_EQ(Get("/page/a.js", std::string("If-None-Match: ") + other + "\r\n").status, 200) << other;
  }
}

TEST_F(PageRoutesTest, HeadHasTheHeadOfGet) {
  const http::TestReply head = Call(Request("HEAD", "/docs"), /*to_head=*/true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("content-length"), "7");
  EXPECT_EQ(head.Header("etag"), "\"d1\"");
}

// What was compiled in: whole, under names of their own, with nothing that the policy would keep from
// working.
TEST(PageFiles, AreWholeAndKeepToThePolicy) {
  std::set<std::string_view> names;
  for (const PageFile& file : PageFiles()) {
    EXPECT_TRUE(names.insert(file.name).second) << file.name;
    EXPECT_EQ(file.etag.size(), 66u) << file.name;
    EXPECT_EQ(file.content.back(), '\n') << file.name;
    if (!file.name.ends_with(".html")) continue;
    EXPECT_THAT(file.content, StartsWith("<!doctype html>")) << file.name;
    for (const char* forbidden :
         {"<style", " style=", "<script>", " onclick=", " onload=", "javascript:", "//"}) {
      EXPECT_EQ(file.content.find(forbidden), std::string_view::npos) << file.name << ": " << forbidden;
    }
  }
  EXPECT_TRUE(names.contains("index.html"));
}

}  // namespace
}  // namespace quire::gateway
