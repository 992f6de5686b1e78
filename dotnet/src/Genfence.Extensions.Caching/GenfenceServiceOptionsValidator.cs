using Microsoft.Extensions.Options;

namespace Genfence.Extensions.Caching;

/// <summary>Says at start what is wrong. The URL may hold a password, so it is not repeated.</summary>
internal sealed class GenfenceServiceOptionsValidator : IValidateOptions<GenfenceServiceOptions>
{
    public ValidateOptionsResult Validate(string? name, GenfenceServiceOptions options)
    {
        var wrong = new List<string>();
        if (string.IsNullOrWhiteSpace(options.Url))
        {
            wrong.Add("Url: is missing; give memory:// or aerospike://host:port/namespace/set");
        }
        else if (!options.Url.StartsWith("memory://", StringComparison.Ordinal)
            && !options.Url.StartsWith("aerospike://", StringComparison.Ordinal))
        {
            wrong.Add("Url: must begin with memory:// or aerospike://");
        }
        if (options.WorkerThreads is < 0 or > 256)
        {
            wrong.Add($"WorkerThreads: {options.WorkerThreads}, must be 0 to 256");
        }
        if (options.CloseTimeout < TimeSpan.Zero || options.CloseTimeout > TimeSpan.FromHours(1))
        {
            wrong.Add($"CloseTimeout: {options.CloseTimeout}, must be 0 to 1 h");
        }
        if (options.StartTimeout < TimeSpan.Zero || options.StartTimeout > TimeSpan.FromMinutes(10))
        {
            wrong.Add($"StartTimeout: {options.StartTimeout}, must be 0 to 10 min");
        }
        if (!string.IsNullOrEmpty(name))
        {
            wrong = wrong.ConvertAll(problem => $"cache {name}: {problem}");
        }
        return wrong.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(wrong);
    }
}
