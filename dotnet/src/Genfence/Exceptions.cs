using System.Runtime.InteropServices;
using Genfence.Native;

namespace Genfence;

/// <summary>
/// Why a call could not be done. A lost race is none of these: it is an outcome. That the cache was disposed is not
/// one either, but an <see cref="ObjectDisposedException"/>: <see cref="GenfenceShutDownException"/>.
/// </summary>
public class GenfenceException : Exception
{
    /// <summary>Makes one without a message.</summary>
    public GenfenceException() { }

    /// <summary>Makes one with a message.</summary>
    /// <param name="message">What is wrong, and what to do.</param>
    public GenfenceException(string message) : base(message) { }

    /// <summary>Makes one with a message and a cause.</summary>
    /// <param name="message">What is wrong, and what to do.</param>
    /// <param name="innerException">What led to it.</param>
    public GenfenceException(string message, Exception? innerException) : base(message, innerException) { }

    /// <summary>Makes one of what the library answered, and frees that.</summary>
    internal static unsafe Exception Take(int status, ref NativeError* error)
    {
        var taken = error;
        error = null;
        if (taken is null)
        {
            return new GenfenceException($"the native library answered with status {status}");
        }
        var message = Text(taken->Message);
        Exception made = taken->Status switch
        {
            Status.Invalid => new GenfenceInvalidException(Text(taken->Field), message),
            Status.Store => new GenfenceStoreException(*taken, message, Text(taken->Cause)),
            Status.ShutDown => new GenfenceShutDownException(message),
            _ => new GenfenceException(message),
        };
        Methods.gf_error_free(taken);
        return made;
    }

    private static unsafe string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";
}

/// <summary>
/// An argument or an option is out of bounds. Nothing was stored; where not said otherwise at the
/// call, nothing was sent.
/// </summary>
public sealed class GenfenceInvalidException : GenfenceException
{
    internal GenfenceInvalidException(string field, string message, Exception? cause = null)
        : base(message, cause) => Field = field;

    /// <summary>The argument, option or field that is out of bounds.</summary>
    public string Field { get; }
}

/// <summary>The store gave no answer, or refused for good.</summary>
public sealed class GenfenceStoreException : GenfenceException
{
    internal GenfenceStoreException(in NativeError error, string message, string cause)
        : base(message, cause.Length == 0 ? null : new GenfenceException(cause))
    {
        ServerCode = error.ServerCode;
        InDoubt = error.InDoubt != 0;
        MayRetry = error.MayRetry != 0;
    }

    /// <summary>What the Aerospike server answered; 0 if it did not, or was not asked.</summary>
    public int ServerCode { get; }

    /// <summary>Whether what was sent may have been applied, or may still be; it is safe either way.</summary>
    public bool InDoubt { get; }

    /// <summary>Whether another try makes sense.</summary>
    public bool MayRetry { get; }
}

/// <summary>A factory took longer than the option <c>hard_timeout</c>, and was given up. Nothing was stored.</summary>
public sealed class GenfenceLoadTimeoutException : GenfenceException
{
    internal GenfenceLoadTimeoutException(string message) : base(message) { }
}

/// <summary>
/// A transaction took longer than its reservations last: it was not committed, so nothing was changed, and it can be tried again. Make it shorter, or
/// set the option <c>reservation_time</c> to more than the transaction's time-out.
/// </summary>
public sealed class GenfenceTransactionTimeoutException : GenfenceException
{
    internal GenfenceTransactionTimeoutException(Exception? cause = null)
        : base(
            "the transaction took longer than its reservations last, so it was not committed, and nothing was changed: try again; or make it shorter, "
            + "or set reservation_time to more than its time-out", cause)
    {
    }
}

/// <summary>
/// The cache was disposed. What was under way may have been applied, which is safe.
/// </summary>
/// <remarks>
/// An <see cref="ObjectDisposedException"/>, and no <see cref="GenfenceException"/>: code that was written for another
/// cache knows it.
/// </remarks>
public sealed class GenfenceShutDownException : ObjectDisposedException
{
    // No name of an object: it would be a second line of the message.
    internal GenfenceShutDownException(string message) : base(null, message) { }
}
