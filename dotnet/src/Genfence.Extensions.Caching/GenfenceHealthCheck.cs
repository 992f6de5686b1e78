using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Genfence.Extensions.Caching;

/// <summary>What <see cref="GenfenceCache.DiagnoseAsync"/> finds, as a health check.</summary>
internal sealed class GenfenceHealthCheck(Func<GenfenceCache> cache) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(
        HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            // Here, and not before: a cache that cannot be opened is this check's finding, and no other's. It blocks.
            var opened = await Task.Run(cache, cancellationToken).ConfigureAwait(false);
            var findings = await opened.DiagnoseAsync(cancellationToken).ConfigureAwait(false);
            var data = findings
                .Where(finding => finding.Level != FindingLevel.Ok)
                .GroupBy(finding => finding.Check, StringComparer.Ordinal)
                .ToDictionary(
                    same => same.Key,
                    object (same) => string.Join("; ", same.Select(finding => $"{finding.Level}: {finding.Found}. {finding.Advice}")),
                    StringComparer.Ordinal);
            return findings.Any(finding => finding.Level == FindingLevel.Error)
                ? new HealthCheckResult(context.Registration.FailureStatus, "the cache does not work", data: data)
                : HealthCheckResult.Healthy(data: data);
        }
        catch (Exception problem) when (problem is GenfenceException or GenfenceShutDownException)
        {
            return new HealthCheckResult(context.Registration.FailureStatus, problem.Message, problem);
        }
    }
}
