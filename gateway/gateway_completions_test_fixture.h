// For tests only: text completions asked of a gateway, and what their answers say of each choice.
#pragma once

#include <map>

#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {

// What the events of a stream, or a whole body, say of each choice.
struct Completed {
  std::map<int, std::string> texts, finishes;
  std::map<int, json> logprobs;
  json usage, error;
  int usages = 0, errors = 0, dones = 0;
};

inline void AddEvent(const json& event, Completed& all) {
  EXPECT_EQ(all.errors + all.dones, 0) << event;
  if (event.contains("error")) {
    ++all.errors;
    all.error = event["error"];
    return;
  }
  EXPECT_EQ(event["object"], "text_completion");
  if (event.contains("usage") && !event["usage"].is_null()) {
    all.usage = event["usage"];
    ++all.usages;
  }
  for (const json& choice : event["choices"]) {
    const int index = choice["index"];
    EXPECT_FALSE(all.finishes.contains(index)) << "nothing after a choice's end";
    all.texts[index] += choice["text"];
    if (!choice["logprobs"].is_null()) {
      for (const auto& [name, list] : choice["logprobs"].items()) {
        for (const json& entry : list) all.logprobs[index][name].push_back(entry);
      }
    }
    if (!choice["finish_reason"].is_null()) all.finishes[index] = choice["finish_reason"];
  }
}

inline Completed OfBody(const std::string& body) {
  Completed all;
  if (body.starts_with("{")) {
    AddEvent(json::parse(body), all);
    all.dones = 1;
    return all;
  }
  for (size_t start = 0, end; (end = body.find("\n\n", start)) != std::string::npos; start = end + 2) {
    const std::string line = body.substr(start, end - start);
    if (line == "data: [DONE]") ++all.dones;
    const size_t event = line.find("data: {");
    if (event == 0 || (event != std::string::npos && line[event - 1] == '\n')) {
      AddEvent(json::parse(line.substr(event + 6)), all);
    }
  }
  return all;
}

inline std::string PromptOf(const v1::GenerateRequest& request) {
  std::string text;
  for (const TokenId id : request.prompt_ids()) text += static_cast<char>(id);
  return text;
}

using Texts = std::map<int, std::string>;

class GatewayCompletionsTest : public GatewayTest {
 protected:
  HttpAnswer Complete(const std::string& prompt, const std::string& fields = "",
                      const std::string& path = "/v1/completions") const {
    return Call(CompletionRequest(prompt, fields, path));
  }
  std::string CompletionRequest(const std::string& prompt, const std::string& fields = "",
                                const std::string& path = "/v1/completions") const {
    const std::string body = absl::StrCat(R"({"model": "tiny", "max_tokens": 40, "prompt": )", prompt,
                                          fields.empty() ? "" : ", ", fields, "}");
    return Request("POST", path, body, backend_.key());
  }
  Completed MustComplete(const std::string& prompt, const std::string& fields = "") const {
    const HttpAnswer answer = Complete(prompt, fields);
    EXPECT_EQ(answer.status, 200) << answer.body;
    const Completed all = OfBody(answer.body);
    EXPECT_EQ(all.dones, 1) << answer.body;
    return all;
  }
  // Each choice of each prompt says its prompt twice, and its own number.
  void SayPrompts() {
    backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
      out.Accept(1);
      for (int i = 0; i < request.choices_size(); ++i) {
        out.Choose(static_cast<uint32_t>(i));
        out.Text(absl::StrCat(PromptOf(request), PromptOf(request), i));
        out.Token(kTinyEos);
        out.Finish(v1::FINISH_STOP);
      }
      return kOk;
    };
  }
  // The settles from the `from`th on, by request id.
  std::map<std::string, v1::RequestSettle> AwaitSettles(size_t from, size_t count) {
    std::map<std::string, v1::RequestSettle> settles;
    for (size_t i = from; i < from + count; ++i) {
      const v1::RequestSettle settle = backend_.AwaitSettle(i);
      settles[settle.request_id()] = settle;
    }
    return settles;
  }
};

}  // namespace quire::gateway
