#include "base/http/https_url.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quire::http {
namespace {

TEST(HttpsUrl, IsTakenApart) {
  const struct {
    const char* text;
    HttpsUrl url;
  } kCases[] = {
      {"https://example.com", {"example.com", 443, "/"}},
      {"HTTPS://Example.COM/", {"example.com", 443, "/"}},
      {"https://example.com:8443/a/b?c=d%20e&f", {"example.com", 8443, "/a/b?c=d%20e&f"}},
      {"https://example.com?q", {"example.com", 443, "/?q"}},
      {"https://xn--bcher-kva.example/@user:x", {"xn--bcher-kva.example", 443, "/@user:x"}},
      {"https://localhost/", {"localhost", 443, "/"}},
      {"https://1.example/", {"1.example", 443, "/"}},
      {"https://0x7f.example/", {"0x7f.example", 443, "/"}},
      {"https://a-b.example:65535/", {"a-b.example", 65535, "/"}},
  };
  for (const auto& c : kCases) {
    const absl::StatusOr<HttpsUrl> url = ParseHttpsUrl(c.text);
    ASSERT_TRUE(url.ok()) << c.text << ": " << url.status();
    EXPECT_EQ(*url, c.url) << c.text;
  }
}

void ExpectRefused(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) EXPECT_FALSE(ParseHttpsUrl(text).ok()) << text;
}

TEST(HttpsUrl, OtherSchemesAndUsersAreRefused) {
  ExpectRefused({"", "https:", "https://", "http://example.com/", "ftp://example.com", "//example.com",
                 "example.com", "https:/example.com", "https:///example.com", " https://example.com",
                 "https://example.com/ "});
  ExpectRefused({"https://user@example.com/", "https://user:word@example.com/", "https://@example.com",
                 "https://example.com@127.0.0.1/", "https://example.com:443@evil.example/",
                 "https://example.com\\@evil.example/"});
}

TEST(HttpsUrl, AddressesAreRefusedInEverySpelling) {
  ExpectRefused({"https://127.0.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/",
                 "https://0x7f.0x1/", "https://017700000001/", "https://127.1/", "https://10.0.0.1:443/",
                 "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://::1/",
                 "https://0/", "https://1.2.3.4.5/", "https://example.0x10/", "https://example.1/",
                 "https://0X7F.1/", "https://example.0x/"});
}

TEST(HttpsUrl, NamesThatAreNoneAreRefused) {
  const std::string long_label(64, 'a');
  ExpectRefused({"https://example.com./", "https://.example.com/", "https://example..com/", "https://./",
                 "https://-a.example/", "https://a-.example/", "https://a_b.c.example/",
                 "https://a_b.example/", "https://ex%61mple.com/", "https://127%2e0%2e0%2e1/",
                 "https://*.example/", "https://exa mple.com/"});
  ExpectRefused({"https://" + long_label + ".example/"});
  // Letters of others: circled digits and full stops become usual ones in some libraries.
  ExpectRefused(
      {"https://b\xC3\xBC"
       "cher.example/",
       "https://\xE2\x91\xA0\xE2\x91\xA1\xE2\x91\xA6.0.0.1/",
       "https://127\xE3\x80\x82"
       "0.0.1/",
       "https://example.com\xFF/"});
}

TEST(HttpsUrl, PortsAndTargetsThatAreNoneAreRefused) {
  ExpectRefused({"https://example.com:65536/", "https://example.com:99999/"});
  ExpectRefused({"https://example.com:/", "https://example.com:0/", "https://example.com:065/",
                 "https://example.com:+443/", "https://example.com:443:80/", "https://example.com:8 0/",
                 "https://example.com:443443/"});
  ExpectRefused({"https://example.com/#fragment", "https://example.com#fragment",
                 "https://example.com/\\evil", "https://example.com\\evil/",
                 "https://example.com/\r\nHost: evil", "https://example.com/\t",
                 std::string("https://example.com/\0x", 22), "https://example.com/%",
                 "https://example.com/%4", "https://example.com/%zz", "https://example.com/\xC3\xBC",
                 "https://example.com/a b", "https://example.com/\x7F"});
}

TEST(HttpsUrl, HasBounds) {
  std::string name;
  while (name.size() < 250) name += "a.";
  EXPECT_TRUE(ParseHttpsUrl("https://" + name + "bcd/").ok()) << "253 bytes";
  EXPECT_FALSE(ParseHttpsUrl("https://" + name + "bcde/").ok());
  const std::string start = "https://example.com/";
  EXPECT_TRUE(ParseHttpsUrl(start + std::string(kMaxUrlBytes - start.size(), 'a')).ok());
  EXPECT_FALSE(ParseHttpsUrl(start + std::string(kMaxUrlBytes - start.size() + 1, 'a')).ok());
}

TEST(HttpsUrl, WhatIsWrongIsSaidWithoutQuoting) {
  const absl::Status status = ParseHttpsUrl("https://secret@example.com/").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()).find("secret"), std::string::npos);
}

TEST(HttpsUrl, AHostAndAPortByTheSameRules) {
  EXPECT_EQ(*ParseHostAndPort("Hooks.internal"), (HostAndPort{"hooks.internal", 443}));
  EXPECT_EQ(*ParseHostAndPort("localhost:9"), (HostAndPort{"localhost", 9}));
  for (const char* text : {"", ":443", "127.0.0.1", "a:b", "https://a", "a/", "a:0"}) {
    EXPECT_FALSE(ParseHostAndPort(text).ok()) << text;
  }
}

}  // namespace
}  // namespace quire::http
