using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Genfence.Extensions.Caching;

/// <summary>Follows the source's stream of changes for as long as the host runs; one that ends or fails is asked for anew.</summary>
internal sealed partial class GenfenceFollower(
    Func<GenfenceCache> cache, Func<IChangeSource> source, TimeProvider time, ILogger logger) : BackgroundService
{
    private static readonly TimeSpan s_first = TimeSpan.FromMilliseconds(100), s_longest = TimeSpan.FromSeconds(30);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var pause = s_first;
        while (!stoppingToken.IsCancellationRequested)
        {
            var began = time.GetTimestamp();
            try
            {
                var stream = source();
                await cache().FollowAsync(stream.ReadAsync(stoppingToken), stream.WriteHeartbeatAsync, stoppingToken).ConfigureAwait(false);
                Ended(logger);
            }
            catch (Exception) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception problem) when (problem is not OutOfMemoryException)
            {
                Failed(logger, problem);
            }
            // One that went on for long has not failed again and again.
            pause = time.GetElapsedTime(began) > s_longest ? s_first : pause;
            await Task.Delay(pause, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pause = TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, s_longest.Ticks));
        }
    }

    [LoggerMessage(10, LogLevel.Information, "the stream of changes ended; it is asked for anew")]
    private static partial void Ended(ILogger logger);

    [LoggerMessage(11, LogLevel.Error, "the stream of changes failed; it is asked for anew")]
    private static partial void Failed(ILogger logger, Exception problem);
}
