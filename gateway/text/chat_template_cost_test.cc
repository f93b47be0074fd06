#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/interpreter.h"
#include "gateway/text/jinja/parser.h"

namespace quire::gateway {
namespace {

using ::testing::HasSubstr;

absl::Status Render(const std::string& source) {
  auto body = jinja::ParseTemplate(source);
  if (!body.ok()) return body.status();
  return jinja::Interpreter(jinja::Scope(), 0).Run(*body).status();
}

// What looks through a text or a sequence pays for it, though nothing of it is left.
TEST(ChatTemplate, LookingCostsSteps) {
  const std::vector<std::pair<int, std::string>> bodies = {
      {20, "{% for x in b %}{% break %}{% endfor %}"},
      {20, "{% for x in b if loops %}{% endfor %}"},
      {200, "{% for x in list %}{% break %}{% endfor %}"},
      {200, "{% for x in map %}{% break %}{% endfor %}"},
      {400, "{% set x = b[7] %}"},
      {400, "{% set x = b[7:8] %}"},
      {400, "{% set x = {}[b] %}"},
      {400, "{% set x = {b: 1} %}"},
      {400, "{% set x = {}.get(b) %}"},
      {20, "{% set x = ''.join(b) %}"},
      {400, "{% set x = 'x'.strip(b) %}"},
      {400, "{% set x = b is lower %}"},
      {400, "{% set x = b is filter %}"},
      {400, "{% set x = 'x' is in b %}"},
      {400, "{% set x = 'x' | trim(b) %}"},
      {400, "{% set x = '%.0s' % b %}"},
      {10, "{% set x = ('%(b).0s' * 1000) % {'b': b} %}"},
      {10, "{% set x = ('{0:.0}' * 1000).format(b) %}"},
      {10, "{% set x = ('{0[5]}' * 1000).format(b) %}"},
      {200, "{% set x = namespace(map) %}"},
      {200, "{% set x = namespace(**map) %}"},
      {10, "{% set x = range(1000) | map(attribute=b) | list %}"},
      {10, "{% set x = range(1000) | sort(attribute=b) %}"},
  };
  for (const auto& [times, body] : bodies) {
    const std::string source =
        absl::StrCat("{% set b = 'x' * 1048576 %}{% set list = range(100000) | list %}",
                     "{% set map = {}.fromkeys(range(50000) | map('string') | list) %}{% for i in range(",
                     times, ") %}", body, "{% endfor %}");
    EXPECT_THAT(MessageOf(Render(source)), HasSubstr("too many steps")) << body;
  }
}

}  // namespace
}  // namespace quire::gateway
