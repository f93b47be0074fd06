// Every chat template that scripts/fetch-test-vocabularies fetches, against what transformers makes of it
// (tests/golden/record_public_templates.py): by digest, as the texts are their authors'.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/core/hash.h"
#include "gateway/text/jinja/interpreter.h"
#include "gateway/text/jinja/parser.h"
#include "gateway/text/testdata.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

absl::StatusOr<OriginText> Render(const jinja::Body& body, const ordered_json& recorded,
                                  const ordered_json& conversation) {
  ordered_json variables = {{"messages", conversation["messages"]},
                            {"tools", conversation.value("tools", ordered_json())},
                            {"documents", nullptr},
                            {"add_generation_prompt", conversation.value("add_generation_prompt", true)}};
  const ordered_json extra = conversation.value("extra", ordered_json::object());
  for (const auto& [name, value] : extra.items()) variables[name] = value;
  jinja::Scope globals;
  for (const auto& [name, value] : variables.items()) {
    globals[name] = jinja::Value::FromJson(value, Origin::kUser).value();
  }
  for (const auto& [name, value] : recorded["special"].items()) {
    globals[name] = jinja::Value::TemplateText(value.get<std::string>());
  }
  return jinja::Interpreter(std::move(globals), recorded["unix_seconds"].get<int64_t>()).Run(body);
}

// Where the text differs from the recorder's own, if that lies beside the templates.
std::string FirstDifference(const std::string& name, size_t conversation, const std::string& text) {
  const std::string path = "build/testdata/text/public_prompts/" + name.substr(0, name.rfind('.')) + "." +
                           std::to_string(conversation) + ".txt";
  if (!std::filesystem::exists(path))
    return "run tests/golden/record_public_templates.py to see the difference";
  const std::string expected = testing::ReadTestFile(path, "");
  size_t at = 0;
  while (at < std::min(expected.size(), text.size()) && expected[at] == text[at]) ++at;
  const size_t from = at < 60 ? 0 : at - 60;
  return "at byte " + std::to_string(at) + "\nexpected: ..." + expected.substr(from, 160) +
         "\nrendered: ..." + text.substr(from, 160);
}

void Check(const std::string& name, size_t i, const ordered_json& recorded, const jinja::Body& body,
           const ordered_json& digest) {
  const absl::StatusOr<OriginText> text = Render(body, recorded, recorded["conversations"][i]);
  ASSERT_EQ(text.ok(), digest.is_array()) << name << " " << i << ": " << text.status();
  if (!text.ok()) return;
  EXPECT_TRUE(text->size() == digest[1].get<size_t>() &&
              ToHex(Sha256(text->text())) == digest[0].get<std::string>())
      << name << " " << i << ": " << FirstDifference(name, i, text->text());
}

TEST(PublicTemplates, RenderAsHuggingFaceDoes) {
  const ordered_json recorded = testing::Recording("public_templates.json");
  ASSERT_EQ(recorded["templates"].size(), 70u);
  for (const auto& [name, digests] : recorded["templates"].items()) {
    const auto body = jinja::ParseTemplate(testing::FetchedFile("public_templates/" + name));
    ASSERT_TRUE(body.ok()) << name << ": " << body.status();
    ASSERT_EQ(digests.size(), recorded["conversations"].size());
    for (size_t i = 0; i < digests.size(); ++i) Check(name, i, recorded, *body, digests[i]);
  }
}

// No byte that came with the request may pass for the template's, whatever the template does with it: the
// texts of a conversation are of letters that no template writes.
TEST(PublicTemplates, UserTextStaysUserText) {
  const ordered_json recorded = testing::Recording("public_templates.json");
  const std::string mark = "\u24CA";  // of no case, in no template
  const ordered_json conversation = {
      {"messages",
       {{{"role", "user"}, {"content", "a " + mark + " b"}},
        {{"role", "assistant"}, {"content", mark}},
        {{"role", "user"}, {"content", mark + mark}}}},
      {"tools",
       {{{"type", "function"},
         {"function",
          {{"name", mark},
           {"description", mark},
           {"parameters",
            {{"type", "object"},
             {"properties", {{mark, {{"type", "string"}, {"description", mark}}}}}}}}}}}}};
  int rendered = 0;
  for (const auto& [name, digests] : recorded["templates"].items()) {
    const auto body = jinja::ParseTemplate(testing::FetchedFile("public_templates/" + name));
    const absl::StatusOr<OriginText> text = Render(body.value(), recorded, conversation);
    if (!text.ok()) continue;
    ++rendered;
    for (size_t at = 0; (at = text->text().find(mark, at)) != std::string::npos; ++at) {
      for (size_t i = 0; i < mark.size(); ++i) ASSERT_FALSE(text->FromTemplate(at + i)) << name << " " << at;
    }
  }
  EXPECT_GT(rendered, 50);
}

}  // namespace
}  // namespace quire::gateway
