#include "base/core/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace quire {
namespace {

TEST(JsonTextTest, EverythingReadsBackAsItself) {
  const std::string text("a\"b\\c\n\r\t\0\x1f\x7f/\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 21);
  EXPECT_EQ(nlohmann::json::parse(JsonQuoted(text)).get<std::string>(), text);
}

TEST(JsonTextTest, NoReaderOfLinesFindsOneInside) {
  const std::string marks =
      "a\xC2\x85"
      "b\xE2\x80\xA8"
      "c\xE2\x80\xA9"
      "d\v\f\x1c\x1d\x1e\r\n";
  EXPECT_EQ(JsonQuoted(marks), R"("a\u0085b\u2028c\u2029d\u000b\u000c\u001c\u001d\u001e\u000d\n")");
  EXPECT_EQ(nlohmann::json::parse(JsonQuoted(marks)).get<std::string>(), marks);
  EXPECT_EQ(JsonQuoted("\xC2\x84\xE2\x80\xA7\xE2\x80\xAA"), "\"\xC2\x84\xE2\x80\xA7\xE2\x80\xAA\"")
      << "their neighbours";
}

TEST(JsonTextTest, WhatIsNoUtf8IsReplaced) {
  for (const char* bad :
       {"\xFF", "\x80", "\xC2", "\xC0\xAF", "\xE2\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE0\x80\x80"}) {
    const std::string quoted = JsonQuoted(std::string("a") + bad + "b");
    const std::string back = nlohmann::json::parse(quoted).get<std::string>();
    EXPECT_EQ(back.substr(0, 4), "a\xEF\xBF\xBD") << quoted;
    EXPECT_EQ(back.back(), 'b');
  }
}

}  // namespace
}  // namespace quire
