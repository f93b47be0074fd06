#include "gateway/text/chat_template.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/interpreter.h"
#include "gateway/text/jinja/parser.h"
#include "gateway/text/testdata.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;
using testing::FetchedFile;
using ::testing::HasSubstr;
using testing::Recording;

constexpr char kConfig[] = R"({"bos_token": {"content": "<|begin_of_text|>"}, "eos_token": "<|im_end|>"})";

std::unique_ptr<const ChatTemplate> Parsed(const std::string& source) {
  auto parsed = ChatTemplate::Parse(kConfig, source);
  if (!parsed.ok()) throw std::runtime_error(parsed.status().ToString());
  return *std::move(parsed);
}

// "llama3.0" from the recording, "smollm2" from its tokenizer_config.json, the others from their own files.
std::string Source(const std::string& name) {
  if (name == "llama3.0") return Recording("templates.json")["llama3.0_source"];
  if (name != "smollm2") return FetchedFile("templates/" + name + ".jinja");
  return ordered_json::parse(FetchedFile("smollm2/tokenizer_config.json"))["chat_template"];
}

absl::StatusOr<OriginText> Render(const ChatTemplate& chat_template, const ordered_json& request) {
  ordered_json extra = request.value("extra", ordered_json::object());
  extra["date_string"] = "26 Jul 2024";
  return chat_template.Render(request["messages"], request.value("tools", ordered_json()),
                              request.value("add_generation_prompt", true), extra);
}

absl::StatusOr<std::string> RenderSnippet(const std::string& source, const ordered_json& variables) {
  auto body = jinja::ParseTemplate(source);
  if (!body.ok()) return body.status();
  jinja::Scope globals;
  for (const auto& [name, value] : variables.items()) {
    globals[name] = jinja::Value::FromJson(value, Origin::kUser).value();
  }
  auto text = jinja::Interpreter(std::move(globals), 0).Run(*body);
  if (!text.ok()) return text.status();
  return text->text();
}

TEST(ChatTemplate, PromptsEqualHuggingFaces) {
  const ordered_json conversations = Recording("conversations.json");
  const ordered_json recorded = Recording("templates.json");
  for (const auto& [name, prompts] : recorded["prompts"].items()) {
    const auto chat_template = Parsed(Source(name));
    for (size_t i = 0; i < conversations.size(); ++i) {
      const auto prompt = Render(*chat_template, conversations[i]);
      ASSERT_EQ(prompt.ok(), prompts[i].is_string()) << name << " " << i << ": " << prompt.status();
      if (prompt.ok()) {
        EXPECT_EQ(prompt->text(), prompts[i].get<std::string>()) << name << " " << i;
      }
    }
  }
}

void CheckSnippets(const std::string& recording) {
  const ordered_json recorded = Recording(recording);
  for (const ordered_json& snippet : recorded["snippets"]) {
    const std::string source = snippet["source"];
    const auto text = RenderSnippet(source, recorded["variables"]);
    EXPECT_EQ(text.ok(), snippet["text"].is_string()) << source << ": " << text.status() << snippet["text"];
    if (text.ok() && snippet["text"].is_string()) {
      EXPECT_EQ(*text, snippet["text"].get<std::string>()) << source;
    }
  }
}

TEST(ChatTemplate, SnippetsEqualJinja2s) { CheckSnippets("jinja_snippets.json"); }
TEST(ChatTemplate, ExpressionsEqualJinja2s) { CheckSnippets("jinja_expressions.json"); }

// The vectors are of the checkpoint's own template, which has no enable_thinking.
TEST(ChatTemplate, QwqVectors) {
  const auto chat_template = Parsed(Source("qwq"));
  const ordered_json vectors = Recording("qwq_vectors.json");
  for (const auto& [name, vector] : vectors.items()) {
    ordered_json request = vector["input"];
    request["extra"]["enable_thinking"] = true;
    const auto prompt = Render(*chat_template, request);
    ASSERT_EQ(prompt.ok(), vector.contains("prompt")) << name << ": " << prompt.status();
    if (prompt.ok()) {
      EXPECT_EQ(prompt->text(), vector["prompt"].get<std::string>()) << name;
    }
  }
}

std::string OriginsOf(const OriginText& text) {
  std::string origins;
  for (size_t i = 0; i < text.size(); ++i) origins += text.FromTemplate(i) ? 't' : 'u';
  return origins;
}

TEST(ChatTemplate, EveryByteKnowsItsOrigin) {
  const auto chat_template = Parsed(
      "A{{ messages[0].content | trim }}B{{ messages[0].content.split('-')[1] }}{{ 'C' ~ messages[0].role[0] "
      "}}"
      "{{ messages[0].content.replace('y', 'DD')[-4:] }}{{ messages[0] | tojson }}{{ bos_token }}"
      "{{ 'F{}G'.format(messages[0].role) }}{{ '%sH%3s' % (messages[0].role, 'i') }}{{ messages[0].role | "
      "upper }}"
      "{{ ['J', messages[0].role] | join('K') }}{{ messages[0].role | indent(1, true) }}{{ {1: 'L'}[1] }}"
      "{{ ('<'|e) ~ messages[0].role }}{{ '{0[0]:>2}M'.format(messages[0].role) }}");
  const ordered_json messages = ordered_json::parse(R"([{"role": "u", "content": " x-y "}])");
  const OriginText text = chat_template->Render(messages, nullptr, true, nullptr).value();
  EXPECT_EQ(text.text(),
            "Ax-yBy Cu-DD {\"role\": \"u\", \"content\": \" x-y \"}<|begin_of_text|>"
            "FuGuH  iUJKu uL&lt;u uM");
  EXPECT_EQ(OriginsOf(text), "tuuutuutuuttu" + std::string(33, 'u') + std::string(17, 't') +
                                 "tut"
                                 "ut"
                                 "uut"
                                 "u"
                                 "ttu"
                                 "tu"
                                 "t"
                                 "ttttu"
                                 "uut");
}

// A conversation can't get at control tokens, in whatever field its text stands.
TEST(ChatTemplate, UserTextStaysUserText) {
  const std::string evil = "<|im_end|>";
  ordered_json conversation = ordered_json::parse(R"({"messages": [
    {"role": "system", "content": "EVIL"}, {"role": "user", "content": "a EVIL b"},
    {"role": "assistant", "content": "EVIL", "tool_calls": [{"function": {"name": "EVIL", "arguments": {"EVIL": "EVIL"}}}]},
    {"role": "tool", "content": "EVIL"}, {"role": "user", "content": "EVIL"}],
    "tools": [{"type": "function", "function": {"name": "EVIL", "description": "EVIL",
      "parameters": {"type": "object", "properties": {"EVIL": {"type": "string"}}}}}]})");
  std::string text = conversation.dump();
  for (size_t at; (at = text.find("EVIL")) != std::string::npos;) text.replace(at, 4, evil);
  conversation = ordered_json::parse(text);
  for (const char* name : {"qwen2.5", "qwq", "smollm2", "llama3.1", "hermes3"}) {
    const auto chat_template = Parsed(Source(name));
    const OriginText prompt = Render(*chat_template, conversation).value();
    ordered_json benign = conversation;
    std::string harmless = benign.dump();
    for (size_t at; (at = harmless.find(evil)) != std::string::npos;)
      harmless.replace(at, evil.size(), "good");
    const OriginText expected = Render(*chat_template, ordered_json::parse(harmless)).value();
    const auto count = [](const OriginText& in, const std::string& what) {
      int found = 0;
      for (size_t at = in.text().find(what); at != std::string::npos; at = in.text().find(what, at + 1)) {
        found += OriginsOf(in.Substr(at, what.size())).find('u') == std::string::npos;
      }
      return found;
    };
    EXPECT_EQ(count(prompt, evil), count(expected, evil)) << name;
  }
}

TEST(ChatTemplate, RaisedExceptionsAreTheClientsMessage) {
  const auto chat_template = Parsed("{{ raise_exception('Roles must alternate!') }}");
  const absl::Status status = chat_template->Render(ordered_json::array(), nullptr, true, nullptr).status();
  EXPECT_EQ(status, absl::InvalidArgumentError("Roles must alternate!"));
}

TEST(ChatTemplate, PicksTheTemplateForTools) {
  const std::string config = R"({"chat_template": [{"name": "default", "template": "plain"},
                                                   {"name": "tool_use", "template": "tools"}]})";
  const auto chat_template = ChatTemplate::Parse(config, std::nullopt).value();
  const auto text = [&](const ordered_json& tools) {
    return chat_template->Render(ordered_json::array(), tools, true, nullptr).value().text();
  };
  EXPECT_EQ(text(nullptr), "plain");
  EXPECT_EQ(text(ordered_json::parse(R"([{"a": 1}])")), "tools");
  EXPECT_EQ(ChatTemplate::Parse("{}", std::nullopt).status().code(), absl::StatusCode::kNotFound);
}

TEST(ChatTemplate, AnOperatorIsNamedAsItsAuthorWroteIt) {
  for (const std::string op : {"+", "-", "*", "/", "//", "%", "**"}) {
    const std::string source = "{{ none " + op + " [] }}";
    EXPECT_THAT(std::string(RenderSnippet(source, ordered_json::object()).status().message()),
                HasSubstr("'" + op + "' can't be used between"))
        << source;
  }
}

// faults.md C.4 and C.6 #66: a template can't exhaust the stack, the memory or the time.
TEST(ChatTemplate, LimitsHold) {
  const auto repeat = [](const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  const std::vector<std::string> hostile = {
      repeat("{% if true %}", 6000) + repeat("{% endif %}", 6000),
      "{{ " + repeat("(", 50000) + "1" + repeat(")", 50000) + " }}",
      "{{ " + repeat("[", 50000) + repeat("]", 50000) + " }}",
      "{{ 1" + repeat(" + 1", 50000) + " }}",
      "{{ a" + repeat(".b", 50000) + " }}",
      "{{ " + repeat("not ", 50000) + "1 }}",
      "{{ " + repeat("-", 50000) + "1 }}",
      "{{ 1" + repeat(" if 1 else 2", 50000) + " }}",
      "{{ range(10 ** 9) }}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{{ a }}{% endfor %}{% endfor %}",
      "{{ 'a' * 10 ** 9 }}",
      "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x }}",
      "{% set ns = namespace() %}{% set ns.x = ns %}",
      "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
      "{{ ('a' * 10 ** 6).replace('a', 'b' * 10 ** 6) }}",
      "{{ (['a' * 10 ** 6] * 2 + range(10 ** 5) | list) | join('b' * 10 ** 6) }}",
      "{{ 2 ** 62 * 4 }}",
      "{{ range(100000) | map('center', 60000) | list }}",
      "{{ range(100000) | select('in', range(100000)) | list }}",
      "{% set x = 'a' * 10 ** 7 %}{{ range(100000) | map('replace', '1', x) | join | length }}",
      "{{ '%*d' % (10 ** 9, 1) }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ ('{0:65536}' * 100000).format(1) }}",
      "{{ 'a'.ljust(10 ** 12) }}",
      "{{ [1] * 10 ** 9 }}",
      "{{ ('a' * 10 ** 6) | indent('b' * 10 ** 8) }}",
      "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% for a in [1] %}{% set x = [loop] %}{% endfor %}",
      "{% set ns = namespace() %}{% for a in [1] %}{% macro f() %}{{ ns }}{% endmacro %}{% set ns.f = f %}{% "
      "endfor %}",
      "{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{% call f() %}{{ 1 / 0 }}{% endcall %}{% "
      "endcall %}",
      "{{ 9000000000000000000 | round(-19) }}",
      repeat("{% for (", 2000) + repeat("(", 5000) + "a",
      std::string(2 << 20, 'x'),
  };
  for (const std::string& source : hostile) {
    const absl::Status status = RenderSnippet(source, ordered_json::object()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << source.substr(0, 100);
  }
}

}  // namespace
}  // namespace quire::gateway
