using System.Text.Json;
using System.Text.Json.Serialization;

namespace Genfence;

/// <summary>How bad a finding is.</summary>
public enum FindingLevel
{
    /// <summary>As it should be.</summary>
    Ok,

    /// <summary>The cache works; the guarantee, or what is stored, is less than it could be.</summary>
    Warning,

    /// <summary>The cache does not work, or the guarantee does not hold.</summary>
    Error,
}

/// <summary>One thing that was looked at.</summary>
/// <param name="Check">What was looked at.</param>
/// <param name="Level">How bad it is.</param>
/// <param name="Found">What was found.</param>
/// <param name="Why">Why it matters.</param>
/// <param name="Advice">What to do; empty where there is nothing to do.</param>
public sealed record Finding(string Check, FindingLevel Level, string Found, string Why, string Advice);

internal sealed record Findings([property: JsonPropertyName("findings")] IReadOnlyList<Finding> All);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(Findings))]
internal sealed partial class FindingsContext : JsonSerializerContext;
