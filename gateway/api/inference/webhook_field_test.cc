// Which webhooks a request may name: what the document says of them is what the server takes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/api/inference/declared_inference.h"
#include "gateway/api/inference/inference_request.h"
#include "gateway/api/webhooks/webhook_rules.h"

namespace quire::gateway {
namespace {

// `value`: JSON.
std::optional<http::ApiError> RefusalOf(const std::string& value) {
  const auto parsed = ParseInferenceRequest(absl::StrCat(R"({"input": "a", "webhook": )", value, "}"), "m");
  if (const auto* error = std::get_if<http::ApiError>(&parsed)) return *error;
  return WebhookRules().Check(*std::get<InferenceRequest>(parsed).webhook);
}

// Where the operator lists none.
TEST(WebhookFieldTest, ThePatternSaysWhatIsTaken) {
  const std::regex pattern(kWebhookPattern, std::regex::ECMAScript);
  const auto taken = [](const std::string& text) { return !RefusalOf(nlohmann::json(text).dump()); };
  const std::string label(63, 'a');
  const std::string good[] = {"https://a.example", "HTTPS://A.example:443/x?y=%20", "https://a.example?q",
                              "https://" + label + ".x-1/", "https://1.a." + label};
  for (const std::string& text : good) {
    EXPECT_TRUE(taken(text) && std::regex_match(text, pattern)) << text;
  }
  const std::string bad[] = {"",
                             "http://a.example",
                             "https://a.example:8443/",
                             "https://a.example:80",
                             "https://a.example:0443/",
                             "https://a.example:44399/",
                             "https://a.example:",
                             "https://u@a.example",
                             "https://1.2.3.4/",
                             "https://[::1]/",
                             "https://a.example./",
                             "https://a.example/#f",
                             "https://a.example/%2",
                             "https://" + label + "a.x/",
                             "https://a." + label + "a",
                             "https://a-/",
                             "https:///x"};
  for (const std::string& text : bad) {
    EXPECT_FALSE(taken(text) || std::regex_match(text, pattern)) << text;
  }
}

// Absent is null, as of every field that is used.
TEST(WebhookFieldTest, NothingElseIsNoWebhook) {
  for (const char* value : {R"("")", "[]", "{}", "false"}) {
    const auto error = RefusalOf(value);
    ASSERT_TRUE(error) << value;
    EXPECT_EQ(error->status, 422);
    EXPECT_EQ(error->param, "webhook");
  }
}

}  // namespace
}  // namespace quire::gateway
