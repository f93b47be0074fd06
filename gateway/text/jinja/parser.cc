#include "gateway/text/jinja/parser.h"

#include <functional>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::gateway::jinja {
namespace {

constexpr int kMaxBlockDepth = 50;

using StatementPtr = std::unique_ptr<const Statement>;

class TemplateParser {
 public:
  explicit TemplateParser(std::vector<Token> tokens) : cursor_(std::move(tokens)), expressions_(cursor_) {}

  absl::StatusOr<Body> Run() {
    QUIRE_ASSIGN_OR_RETURN(Body body, ParseBody());
    if (cursor_.Current().kind != TokenKind::kEnd) {
      return cursor_.Error(absl::StrCat("'", cursor_.Current().text, "' closes or continues nothing"));
    }
    return body;
  }

 private:
  // Statements up to the end, or to a tag that is none of a statement's beginnings (endif, else, ...), whose
  // name is then the current token.
  absl::StatusOr<Body> ParseBody() {
    if (++depth_ > kMaxBlockDepth) return cursor_.Error("blocks are nested too deeply");
    Body body;
    while (cursor_.Current().kind != TokenKind::kEnd) {
      const Token token = cursor_.Take();
      if (token.kind == TokenKind::kText) {
        Statement text{StatementKind::kText, token.line};
        text.text = Value::TemplateText(token.text);
        body.push_back(std::make_unique<const Statement>(std::move(text)));
      } else if (token.kind == TokenKind::kOutputBegin) {
        QUIRE_ASSIGN_OR_RETURN(StatementPtr output, Output(token.line));
        body.push_back(std::move(output));
      } else if (Closes(cursor_.Current().text)) {
        break;
      } else {
        QUIRE_ASSIGN_OR_RETURN(StatementPtr statement, Block());
        body.push_back(std::move(statement));
      }
    }
    --depth_;
    return body;
  }

  static bool Closes(const std::string& name) {
    return name == "elif" || name == "else" || name.starts_with("end");
  }

  absl::StatusOr<StatementPtr> Output(int line) {
    Statement output{StatementKind::kOutput, line};
    QUIRE_ASSIGN_OR_RETURN(output.expr, expressions_.Parse());
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOutputEnd, ""));
    return std::make_unique<const Statement>(std::move(output));
  }

  absl::StatusOr<StatementPtr> Block() {
    using Parse = absl::Status (TemplateParser::*)(Statement&);
    static const std::map<std::string, Parse, std::less<>> tags = {
        {"if", &TemplateParser::If},
        {"for", &TemplateParser::For},
        {"set", &TemplateParser::Set},
        {"macro", &TemplateParser::Macro},
        {"call", &TemplateParser::CallBlock},
        {"filter", &TemplateParser::FilterBlock},
        {"with", &TemplateParser::With},
        {"generation", &TemplateParser::Generation},
        {"break", &TemplateParser::LoopControl},
        {"continue", &TemplateParser::LoopControl}};
    const int line = cursor_.Current().line;
    QUIRE_ASSIGN_OR_RETURN(const std::string name, cursor_.ExpectName());
    const auto tag = tags.find(name);
    if (tag == tags.end()) return TemplateError(line, absl::StrCat("the tag '", name, "' is not supported"));
    Statement statement{StatementKind::kGeneration, line};
    statement.name = name;
    QUIRE_RETURN_IF_ERROR((this->*tag->second)(statement));
    return std::make_unique<const Statement>(std::move(statement));
  }

  absl::Status Generation(Statement& statement) { return LastBranch(statement, "endgeneration"); }

  absl::Status LoopControl(Statement& statement) {
    statement.kind = statement.name == "break" ? StatementKind::kBreak : StatementKind::kContinue;
    return loop_depth_ > 0 ? EndTag()
                           : cursor_.Error(absl::StrCat(statement.name, " stands outside of a loop"));
  }

  absl::Status EndTag() { return cursor_.Expect(TokenKind::kBlockEnd, ""); }

  // The body from here to {% end %}, as a branch without a condition.
  absl::Status LastBranch(Statement& statement, std::string_view end) {
    QUIRE_RETURN_IF_ERROR(EndTag());
    QUIRE_ASSIGN_OR_RETURN(Body body, ParseBody());
    statement.branches.push_back({nullptr, std::move(body)});
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kName, end));
    return EndTag();
  }

  absl::Status If(Statement& statement) {
    statement.kind = StatementKind::kIf;
    do {
      QUIRE_ASSIGN_OR_RETURN(ExprPtr condition, expressions_.Parse());
      QUIRE_RETURN_IF_ERROR(EndTag());
      QUIRE_ASSIGN_OR_RETURN(Body body, ParseBody());
      statement.branches.push_back({std::move(condition), std::move(body)});
    } while (cursor_.SkipName("elif"));
    if (cursor_.SkipName("else")) return LastBranch(statement, "endif");
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kName, "endif"));
    return EndTag();
  }

  // One target, or with commas several: name, name.attribute or (target, ...).
  absl::StatusOr<Target> Targets() {
    QUIRE_ASSIGN_OR_RETURN(Target first, OneTarget());
    if (!cursor_.AtOperator(",")) return first;
    Target several;
    several.parts.push_back(std::move(first));
    while (cursor_.SkipOperator(",")) {
      if (cursor_.Current().kind != TokenKind::kName && !cursor_.AtOperator("(")) break;
      if (cursor_.AtName("in")) break;
      QUIRE_ASSIGN_OR_RETURN(Target next, OneTarget());
      several.parts.push_back(std::move(next));
    }
    return several;
  }

  absl::StatusOr<Target> OneTarget() {
    Target target;
    if (cursor_.SkipOperator("(")) {
      if (++target_depth_ > kMaxBlockDepth) return cursor_.Error("targets are nested too deeply");
      QUIRE_ASSIGN_OR_RETURN(target, Targets());
      --target_depth_;
      QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, ")"));
      return target;
    }
    QUIRE_ASSIGN_OR_RETURN(target.name, cursor_.ExpectName());
    if (cursor_.SkipOperator(".")) {
      QUIRE_ASSIGN_OR_RETURN(target.attribute, cursor_.ExpectName());
    }
    return target;
  }

  absl::Status For(Statement& statement) {
    statement.kind = StatementKind::kFor;
    QUIRE_ASSIGN_OR_RETURN(statement.target, Targets());
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kName, "in"));
    QUIRE_ASSIGN_OR_RETURN(statement.expr, expressions_.ParseWithoutCondition());
    if (cursor_.SkipName("if")) {
      QUIRE_ASSIGN_OR_RETURN(statement.condition, expressions_.ParseSingle());
    }
    statement.recursive = cursor_.SkipName("recursive");
    QUIRE_RETURN_IF_ERROR(EndTag());
    ++loop_depth_;
    QUIRE_ASSIGN_OR_RETURN(Body body, ParseBody());
    --loop_depth_;
    statement.branches.push_back({nullptr, std::move(body)});
    if (cursor_.SkipName("else")) return LastBranch(statement, "endfor");
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kName, "endfor"));
    return EndTag();
  }

  absl::Status Set(Statement& statement) {
    statement.kind = StatementKind::kSet;
    QUIRE_ASSIGN_OR_RETURN(statement.target, Targets());
    if (cursor_.SkipOperator("=")) {
      QUIRE_ASSIGN_OR_RETURN(statement.expr, expressions_.Parse());
      return EndTag();
    }
    if (!statement.target.parts.empty()) return cursor_.Error("expected '='");
    statement.kind = StatementKind::kSetBlock;
    QUIRE_ASSIGN_OR_RETURN(statement.filters, expressions_.ParseFilters(/*after_bar=*/true));
    return LastBranch(statement, "endset");
  }

  absl::Status FilterBlock(Statement& statement) {
    statement.kind = StatementKind::kFilterBlock;
    QUIRE_ASSIGN_OR_RETURN(statement.filters, expressions_.ParseFilters(/*after_bar=*/false));
    return LastBranch(statement, "endfilter");
  }

  absl::Status With(Statement& statement) {
    statement.kind = StatementKind::kWith;
    while (cursor_.Current().kind != TokenKind::kBlockEnd) {
      Parameter variable;
      QUIRE_ASSIGN_OR_RETURN(variable.name, cursor_.ExpectName());
      QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, "="));
      QUIRE_ASSIGN_OR_RETURN(variable.default_value, expressions_.ParseSingle());
      statement.parameters.push_back(std::move(variable));
      if (!cursor_.SkipOperator(",")) break;
    }
    return LastBranch(statement, "endwith");
  }

  absl::Status Parameters(Statement& statement) {
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, "("));
    while (!cursor_.AtOperator(")")) {
      Parameter parameter;
      QUIRE_ASSIGN_OR_RETURN(parameter.name, cursor_.ExpectName());
      if (cursor_.SkipOperator("=")) {
        QUIRE_ASSIGN_OR_RETURN(parameter.default_value, expressions_.ParseSingle());
      } else if (!statement.parameters.empty() && statement.parameters.back().default_value != nullptr) {
        return cursor_.Error("a parameter without a default stands after one with a default");
      }
      statement.parameters.push_back(std::move(parameter));
      if (!cursor_.SkipOperator(",")) break;
    }
    return cursor_.Expect(TokenKind::kOperator, ")");
  }

  // The body of a macro, or of the one that a call block makes.
  absl::Status MacroBody(Statement& statement, std::string_view end) {
    const int outer_loops = std::exchange(loop_depth_, 0);
    const size_t start = cursor_.place();
    const absl::Status status = LastBranch(statement, end);
    loop_depth_ = outer_loops;
    statement.uses_varargs = cursor_.UsesName(start, "varargs");
    statement.uses_kwargs = cursor_.UsesName(start, "kwargs");
    statement.uses_caller = cursor_.UsesName(start, "caller");
    return status;
  }

  absl::Status Macro(Statement& statement) {
    statement.kind = StatementKind::kMacro;
    QUIRE_ASSIGN_OR_RETURN(statement.name, cursor_.ExpectName());
    QUIRE_RETURN_IF_ERROR(Parameters(statement));
    return MacroBody(statement, "endmacro");
  }

  absl::Status CallBlock(Statement& statement) {
    statement.kind = StatementKind::kCallBlock;
    statement.name = "caller";
    if (cursor_.AtOperator("(")) QUIRE_RETURN_IF_ERROR(Parameters(statement));
    QUIRE_ASSIGN_OR_RETURN(statement.expr, expressions_.ParseSingle());
    if (statement.expr->kind != ExprKind::kCall) return cursor_.Error("{% call %} needs a call");
    return MacroBody(statement, "endcall");
  }

  TokenCursor cursor_;
  ExpressionParser expressions_;
  int depth_ = 0;
  int loop_depth_ = 0;
  int target_depth_ = 0;
};

}  // namespace

bool TokenCursor::UsesName(size_t since, std::string_view name) const {
  return std::any_of(tokens_.begin() + since, tokens_.begin() + at_, [name](const Token& token) {
    return token.kind == TokenKind::kName && token.text == name;
  });
}

bool TokenCursor::SkipName(std::string_view name) {
  if (!AtName(name)) return false;
  Take();
  return true;
}

bool TokenCursor::SkipOperator(std::string_view op) {
  if (!AtOperator(op)) return false;
  Take();
  return true;
}

absl::Status TokenCursor::Error(std::string_view problem) const {
  return TemplateError(Current().line, problem);
}

absl::Status TokenCursor::Expect(TokenKind kind, std::string_view text) {
  if (!At(kind, text)) {
    const std::string wanted = kind == TokenKind::kBlockEnd    ? "%}"
                               : kind == TokenKind::kOutputEnd ? "}}"
                                                               : std::string(text);
    return Error(absl::StrCat("expected '", wanted, "', found '", Current().text, "'"));
  }
  Take();
  return absl::OkStatus();
}

absl::StatusOr<std::string> TokenCursor::ExpectName() {
  if (Current().kind != TokenKind::kName) {
    return Error(absl::StrCat("expected a name, found '", Current().text, "'"));
  }
  return Take().text;
}

absl::StatusOr<Body> ParseTemplate(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the chat template has more than ", kMaxTemplateBytes, " bytes"));
  }
  QUIRE_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return TemplateParser(std::move(tokens)).Run();
}

}  // namespace quire::gateway::jinja
